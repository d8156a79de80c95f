/**
 * Which result belongs to which call. Harmony has no ids for calls: a result belongs to the call at its place among
 * them, so that results have to stand in the order of the calls whatever order they came in.
 */

import { MissingToolResultError, UnknownToolResultError } from '../../errors.ts';
import type { HarmonyMessage, HarmonyToolCall, HarmonyToolMessage } from './types.ts';

/** A result whose tool is known. */
export type NamedToolMessage = HarmonyToolMessage & { readonly name: string };

/** A conversation whose results stand where they belong. */
export type OrderedMessage = Exclude<HarmonyMessage, HarmonyToolMessage> | NamedToolMessage;

/** Calls that one run of the assistant's messages made, and their results in the same order. */
interface CallGroup {
  /** The run's last message. */
  end: number;
  readonly calls: HarmonyToolCall[];
  readonly results: (NamedToolMessage | null)[];
}

/**
 * The messages with every result behind the run of assistant messages that made its call, in the order of the calls.
 * Results with a `toolCallId` belong to the latest call of that id before them, results with a name alone to the
 * earliest call of the name that has none, and results with neither to the last call. A named result without an id may
 * stand without a call.
 *
 * @param complete Whether the conversation goes on behind its last message. If not, calls at its end need no results yet.
 * @throws UnknownToolResultError, MissingToolResultError
 */
export function withResultsInOrder(messages: readonly HarmonyMessage[], complete: boolean): OrderedMessage[] {
  const groups = new Map<number, CallGroup>();
  const loose = new Map<number, NamedToolMessage>();
  const open = new OpenCalls();
  let group: CallGroup | null = null;
  for (const [index, message] of messages.entries()) {
    if (message.role === 'tool') {
      const name = open.bind(message, index);
      if (name !== null) loose.set(index, { ...message, name });
    }
    if (message.role !== 'assistant') {
      group = null;
      continue;
    }
    group ??= { end: index, calls: [], results: [] };
    groups.delete(group.end);
    group.end = index;
    groups.set(index, group);
    for (const call of message.toolCalls ?? []) open.add(call, group);
  }
  const lastSpoken = messages.findLastIndex(({ role }) => role !== 'tool');
  return messages.flatMap((message, index): OrderedMessage[] => {
    if (message.role === 'tool') {
      const result = loose.get(index);
      return result === undefined ? [] : [result];
    }
    const made = groups.get(index);
    if (made === undefined) return [message];
    const mayWait = !complete && index === lastSpoken;
    const results = made.results.flatMap((result, place) => {
      if (result === null && !mayWait) throw new MissingToolResultError(index, made.calls[place]?.id ?? '');
      return result ?? [];
    });
    return [message, ...results];
  });
}

/** A call and where its result goes. */
interface WaitingCall {
  readonly name: string;
  readonly group: CallGroup;
  readonly place: number;
  bound: boolean;
}

/** Calls without a result. Lists lose calls that got one only when they are looked at: a body may hold thousands. */
class OpenCalls {
  readonly #byId = new Map<string, CallList>();
  readonly #byName = new Map<string, CallList>();
  readonly #all = new CallList();
  #last: string | null = null;

  add(made: HarmonyToolCall, group: CallGroup): void {
    const { id, name } = made;
    const call: WaitingCall = { name, group, place: group.calls.length, bound: false };
    group.calls.push(made);
    group.results.push(null);
    listAt(this.#byId, id).push(call);
    listAt(this.#byName, name).push(call);
    this.#all.push(call);
    this.#last = name;
  }

  /** Ties a result to its call. Returns the name of its tool where it has no call. */
  bind(message: HarmonyToolMessage, index: number): string | null {
    const { name = '', toolCallId } = message;
    const call = this.#find(name, toolCallId);
    if (call !== null) {
      call.bound = true;
      call.group.results[call.place] = { ...message, name: call.name };
      return null;
    }
    if (toolCallId === undefined && name !== '') return name;
    // Results with neither are more output of the last call.
    if (toolCallId === undefined && this.#last !== null) return this.#last;
    throw new UnknownToolResultError(index, toolCallId ?? null);
  }

  #find(name: string, toolCallId: string | undefined): WaitingCall | null {
    // Some applications number the calls of every turn from the start again.
    if (toolCallId !== undefined) return this.#byId.get(toolCallId)?.takeLast() ?? null;
    return name === '' ? this.#all.takeLast() : (this.#byName.get(name)?.takeFirst() ?? null);
  }
}

/** Calls in the order they were made. */
class CallList {
  readonly #calls: WaitingCall[] = [];
  #first = 0;

  push(call: WaitingCall): void {
    this.#calls.push(call);
  }

  /** The first call that has no result, or null. */
  takeFirst(): WaitingCall | null {
    for (let call = this.#calls[this.#first]; call !== undefined; call = this.#calls[this.#first]) {
      this.#first += 1;
      if (!call.bound) return call;
    }
    return null;
  }

  /** The last call that has no result, or null. */
  takeLast(): WaitingCall | null {
    while (this.#calls.length > this.#first) {
      const call = this.#calls.pop();
      if (call?.bound === false) return call;
    }
    return null;
  }
}

function listAt(lists: Map<string, CallList>, key: string): CallList {
  const list = lists.get(key) ?? new CallList();
  lists.set(key, list);
  return list;
}

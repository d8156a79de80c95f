/**
 * Everything that a text of rules may be at one place between two characters: rules that end there, and rules that begin.
 */

import type { RulePlaces } from './rule-places.ts';

/** A rule in progress. Frames of the same content are the same object. */
export interface Frame {
  readonly id: number;
  readonly rule: number;
  /** Where it goes on when the rule ends. */
  readonly returns: Return<Frame>[];
  /** Frames that began with it and that lead to one another, by rule; itself among them. */
  readonly siblings: ReadonlyMap<number, Frame>;
}

/** A place in a rule in progress, or behind all of them: see `END`. */
export interface Return<Owner> {
  readonly place: number;
  readonly owner: Owner;
}

/** The place behind a whole text. */
export const END = -1;
/** The place behind a rule's frame that stands alone, and back. */
export const behind = (rule: number): number => -2 - rule;

/** A rule that begins here: one for all who call it. */
interface Beginning {
  readonly rule: number;
  readonly returns: Map<string, Return<Frame | Beginning>>;
  /** Others that begin here and whose last part it is: it returns to where they do. */
  readonly lastOf: Set<Beginning>;
}

/** Threads and returns of one place. Beyond, some readings of a text that has very many are given up. */
const MOST_WORK = 1000;
/** Frames that a beginning is compared with. */
const MOST_COMPARED = 8;

const isFrame = (owner: Frame | Beginning): owner is Frame => 'id' in owner;
const keyOf = (place: number, owner: Frame | Beginning): string =>
  isFrame(owner) ? `${place} ${owner.id}` : `${place} new ${owner.rule}`;

/** What is kept of a place takes about as much memory as a text of so many characters. */
const CHARACTERS_OF_A_PLACE = 256;

/** Frames by their content. */
export class Frames {
  readonly #known = new Map<string, Frame>();
  #next = 0;
  #characters = 0;

  /** How much there is to remember of them, in places of a grammar. */
  get size(): number {
    return this.#next + Math.floor(this.#characters / CHARACTERS_OF_A_PLACE);
  }

  get(content: string): Frame | undefined {
    return this.#known.get(content);
  }

  create(rule: number, content: string, siblings: ReadonlyMap<number, Frame>): Frame {
    const frame: Frame = { id: this.#next++, rule, returns: [], siblings };
    this.#known.set(content, frame);
    this.#characters += content.length;
    return frame;
  }
}

export class Closure {
  /** Whether the whole text may end. */
  ends = false;
  /** The rule of a frame that stands alone, where it may end; -1 otherwise. */
  leaves = -1;
  readonly #places: RulePlaces;
  readonly #threads = new Map<string, Return<Frame | Beginning>>();
  readonly #beginnings = new Map<number, Beginning>();
  readonly #left = new Set<Frame>();
  readonly #open: Return<Frame | Beginning>[] = [];
  #work = 0;

  constructor(places: RulePlaces) {
    this.#places = places;
  }

  /** Something that has just been read leads to a place. */
  add(place: number, frame: Frame): void {
    this.#open.push({ place, owner: frame });
    this.#visitAll();
  }

  /** A rule begins. @param back Where it returns to. */
  begin(rule: number, back: Return<Frame>): void {
    this.#return(this.#beginning(rule), back);
    this.#visitAll();
  }

  /** A frame's rule ends. */
  leave(frame: Frame): void {
    this.#leave(frame);
    this.#visitAll();
  }

  /** The places at which a character may be read, each once and in order. */
  threads(frames: Frames): Return<Frame>[] {
    this.#shareReturns();
    const known = new Map<Beginning, Frame>();
    const found = new Map<string, Return<Frame>>();
    for (const { place, owner } of this.#threads.values()) {
      if (this.#places.characters.edges[place]?.length === 0) continue;
      const frame = isFrame(owner) ? owner : this.#frameOf(owner, frames, known);
      found.set(keyOf(place, frame), { place, owner: frame });
    }
    return [...found.values()].sort((a, b) => a.place - b.place || a.owner.id - b.owner.id);
  }

  #visitAll(): void {
    for (let thread = this.#open.pop(); thread !== undefined; thread = this.#open.pop()) this.#visit(thread);
  }

  #visit({ place, owner }: Return<Frame | Beginning>): void {
    const key = keyOf(place, owner);
    if (this.#threads.has(key) || this.#work > MOST_WORK) return;
    this.#work += 1;
    this.#threads.set(key, { place, owner });
    // What begins here and ends here was skipped where it was called.
    if (this.#places.accepts[place] === true && isFrame(owner)) this.#leave(owner);
    for (const { rule, back } of this.#places.calls[place] ?? []) {
      this.#call(this.#beginning(rule), back, owner);
      if (this.#places.isNullableRule(rule)) this.#open.push({ place: back, owner });
    }
  }

  #leave(frame: Frame): void {
    if (this.#left.has(frame)) return;
    this.#left.add(frame);
    for (const { place, owner } of frame.returns) {
      if (place === END) this.ends = true;
      else if (place < END) this.leaves = behind(place);
      else this.#open.push({ place, owner });
    }
  }

  #beginning(rule: number): Beginning {
    let beginning = this.#beginnings.get(rule);
    if (beginning === undefined) {
      beginning = { rule, returns: new Map(), lastOf: new Set() };
      this.#beginnings.set(rule, beginning);
      this.#open.push({ place: this.#places.starts[rule] ?? 0, owner: beginning });
    }
    return beginning;
  }

  #call(beginning: Beginning, back: number, owner: Frame | Beginning): void {
    if (this.#places.isEnd[back] !== true) this.#return(beginning, { place: back, owner });
    else if (isFrame(owner)) for (const outer of owner.returns) this.#return(beginning, outer);
    else beginning.lastOf.add(owner);
  }

  #return({ returns }: Beginning, back: Return<Frame | Beginning>): void {
    if (this.#work > MOST_WORK && returns.size > 0) return;
    this.#work += 1;
    returns.set(keyOf(back.place, back.owner), back);
  }

  #shareReturns(): void {
    for (let changed = true; changed; ) {
      changed = false;
      for (const { returns, lastOf } of this.#beginnings.values()) {
        for (const owner of lastOf) {
          for (const [key, back] of owner.returns) {
            if (returns.has(key)) continue;
            returns.set(key, back);
            changed = true;
          }
        }
      }
    }
  }

  #frameOf(beginning: Beginning, frames: Frames, known: Map<Beginning, Frame>): Frame {
    const found = known.get(beginning);
    if (found !== undefined) return found;
    const group = new Set([beginning]);
    for (const { returns } of group) for (const { owner } of returns.values()) if (!isFrame(owner)) group.add(owner);
    const same = sameAs(group);
    if (same === null) this.#createAll([...group], frames, known);
    else for (const [member, frame] of same) known.set(member, frame);
    return this.#frameOf(beginning, frames, known);
  }

  /** Frames for beginnings that lead to one another, those that there are already among them. */
  #createAll(group: readonly Beginning[], frames: Frames, known: Map<Beginning, Frame>): void {
    const siblings = new Map<number, Frame>();
    const content = group
      .map(({ rule, returns }) => `${rule}:${[...returns.keys()].sort().join()}`)
      .sort()
      .join(';');
    const created: [Beginning, Frame][] = [];
    for (const beginning of group) {
      let frame = known.get(beginning) ?? frames.get(`${beginning.rule}|${content}`);
      if (frame === undefined) {
        frame = frames.create(beginning.rule, `${beginning.rule}|${content}`, siblings);
        created.push([beginning, frame]);
      }
      known.set(beginning, frame);
      siblings.set(beginning.rule, frame);
    }
    for (const [{ returns }, frame] of created) {
      for (const { place, owner } of returns.values()) {
        const outer = isFrame(owner) ? owner : known.get(owner);
        if (outer !== undefined) frame.returns.push({ place, owner: outer });
      }
    }
  }
}

/**
 * The frames around that the beginnings would be the same as: that of `e` in `e: e "+" e`, behind the plus. Null where
 * there are none.
 */
function sameAs(group: ReadonlySet<Beginning>): ReadonlyMap<Beginning, Frame> | null {
  const candidates = new Set<ReadonlyMap<number, Frame>>();
  for (const { returns } of group) {
    for (const { owner } of returns.values())
      if (isFrame(owner) && candidates.size < MOST_COMPARED) candidates.add(owner.siblings);
  }
  for (const siblings of candidates) {
    const pairs = new Map<Beginning, Frame>();
    for (const beginning of group) {
      const frame = siblings.get(beginning.rule);
      if (frame !== undefined && isSame(beginning, frame, siblings)) pairs.set(beginning, frame);
    }
    if (pairs.size === group.size) return pairs;
  }
  return null;
}

/** Whether a beginning returns to where a frame does, if all that begins with it is the same as the frame's siblings. */
function isSame({ returns }: Beginning, frame: Frame, siblings: ReadonlyMap<number, Frame>): boolean {
  const wanted = new Set(frame.returns.map(({ place, owner }) => keyOf(place, owner)));
  const had = new Set<string>();
  for (const { place, owner } of returns.values()) {
    const outer = isFrame(owner) ? owner : siblings.get(owner.rule);
    if (outer === undefined || !wanted.has(keyOf(place, outer))) return false;
    had.add(keyOf(place, outer));
  }
  return had.size === wanted.size;
}

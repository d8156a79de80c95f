import { ELEMENT_TYPES, byteLength } from './element-type.ts';
import type { ElementType } from './element-type.ts';
import { MessageWriter } from './protobuf.ts';
import type { Weight } from './weight.ts';
import { WeightReader } from './weight-reader.ts';

/** Builds ONNX graphs from TypeScript: values are names, and every method that adds a node returns its outputs' names. */

/** A value in a graph: an input, a constant or a node's output. The empty string stands for an optional input left out. */
export type Value = string;

/** A node's attribute. A bare number is an integer; `float()` marks one that ONNX declares as float. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/** Marks an attribute as ONNX's float type. */
export function float(value: number): Attribute {
  return { float: value };
}

/** A dimension: its size, or a name where it differs from run to run. */
export type Dimension = number | string;

/** A constant's bytes: in the model itself, or handed to the session beside it under `path`. */
export interface Constant {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A model's bytes, and the constants that must be handed over beside it by their paths. */
export interface BuiltGraph {
  readonly model: Uint8Array;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
}

interface Node {
  readonly type: string;
  readonly domain: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

const CONTRIB_DOMAIN = 'com.microsoft';
const IR_VERSION = 10;
const OPSET_VERSION = 21;
/** Constants up to this size stay in the model: shapes, scalars and biases, which ONNX Runtime folds and inspects. */
const INLINE_BYTES = 16384;

/** One ONNX graph under construction. */
export class GraphBuilder {
  readonly name: string;
  readonly #nodes: Node[] = [];
  readonly #renamed = new Map<Value, string>();
  readonly #inputs: MessageWriter[] = [];
  readonly #outputs: MessageWriter[] = [];
  readonly #initializers = new Map<string, Constant>();
  readonly #weights: Weight[] = [];
  readonly #constants = new Map<string, Value>();
  #values = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Declares an input of the graph. */
  input(name: string, type: ElementType, shape: readonly Dimension[]): Value {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  /** Declares a node's output an output of the graph, under `name`. */
  output(name: string, value: Value, type: ElementType, shape: readonly Dimension[]): void {
    this.#renamed.set(value, name);
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** A constant tensor. Large ones travel outside the model, so that the model stays far below protobuf's 2 GiB. */
  constant(value: string, constant: Constant): Value {
    this.#initializers.set(value, constant);
    return value;
  }

  /** The constants of a weight, which is read and converted when the graph is built. Returns their names. */
  weight(weight: Weight): Value[] {
    this.#weights.push(weight);
    return weight.constants.map(({ name }) => name);
  }

  /** What `weight` was given. */
  get weights(): readonly Weight[] {
    return this.#weights;
  }

  /** An f32 scalar or vector constant, shared between equal uses. */
  floats(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    return this.#shared(`f32[${shape.join(',')}]:${values.join(',')}`, {
      type: 'float32',
      shape,
      bytes: new Uint8Array(Float32Array.from(values).buffer),
    });
  }

  /** An i64 vector constant (shapes, axes, sizes), shared between equal uses. */
  integers(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    return this.#shared(`i64[${shape.join(',')}]:${values.join(',')}`, {
      type: 'int64',
      shape,
      bytes: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
    });
  }

  /** Adds a node of the ONNX standard with one output. */
  op(type: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    return this.#add({ type, domain: '', inputs, attributes, outputs: [this.#fresh(type)] });
  }

  /** Adds a node of ONNX Runtime's own operator set with one output. */
  contrib(type: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    return this.#add({ type, domain: CONTRIB_DOMAIN, inputs, attributes, outputs: [this.#fresh(type)] });
  }

  /** Adds a node of ONNX Runtime's own operator set with several outputs. */
  contribMany(
    type: string,
    inputs: readonly Value[],
    outputs: number,
    attributes: Readonly<Record<string, Attribute>>,
  ): Value[] {
    const names = Array.from({ length: outputs }, () => this.#fresh(type));
    this.#add({ type, domain: CONTRIB_DOMAIN, inputs, attributes, outputs: names });
    return names;
  }

  /** Splits `value` along `axis` into parts whose sizes are the i64 vector `sizes`. */
  split(value: Value, sizes: Value, parts: number, axis: number): Value[] {
    const names = Array.from({ length: parts }, () => this.#fresh('Split'));
    this.#add({ type: 'Split', domain: '', inputs: [value, sizes], attributes: { axis }, outputs: names });
    return names;
  }

  /** The whole graph, its weights read by `reader`, which may have their memory back once a session has copied them. */
  build(reader = new WeightReader()): BuiltGraph & { readonly targets: readonly Uint8Array[] } {
    const all: Uint8Array[] = [];
    const built = this.#build((weight) => {
      const targets = weight.constants.map(({ type, shape }) => reader.target(byteLength(type, shape)));
      all.push(...targets);
      reader.convert(() => weight.write(targets, reader));
      return targets;
    });
    return { ...built, targets: all };
  }

  /** The graph with zeros for weights, none of which is read. */
  buildWithoutWeights(): BuiltGraph {
    return this.#build(({ constants }) =>
      constants.map((constant) => new Uint8Array(byteLength(constant.type, constant.shape))),
    );
  }

  #build(bytesOf: (weight: Weight) => readonly Uint8Array[]): BuiltGraph {
    const constants = new Map(this.#initializers);
    for (const weight of this.#weights) {
      const bytes = bytesOf(weight);
      weight.constants.forEach(({ name, type, shape }, index) => {
        constants.set(name, { type, shape, bytes: bytes[index] as Uint8Array });
      });
    }
    const model = new MessageWriter()
      .integer(1, IR_VERSION)
      .string(2, 'switchyard')
      .message(7, this.#graphMessage(constants))
      .message(8, new MessageWriter().string(1, '').integer(2, OPSET_VERSION))
      .message(8, new MessageWriter().string(1, CONTRIB_DOMAIN).integer(2, 1));
    const externalData = Array.from(constants, ([path, { bytes }]) => ({ path, data: bytes })).filter(
      ({ data }) => data.length > INLINE_BYTES,
    );
    return { model: model.finish(), externalData };
  }

  #graphMessage(constants: ReadonlyMap<string, Constant>): MessageWriter {
    const message = new MessageWriter();
    for (const node of this.#nodes) {
      message.message(1, nodeMessage(node, this.#renamed));
    }
    message.string(2, this.name);
    for (const [name, constant] of constants) {
      message.message(5, initializerMessage(name, constant));
    }
    for (const input of this.#inputs) {
      message.message(11, input);
    }
    for (const output of this.#outputs) {
      message.message(12, output);
    }
    return message;
  }

  #add(node: Node): Value {
    this.#nodes.push(node);
    return node.outputs[0] ?? '';
  }

  #shared(key: string, constant: Constant): Value {
    let value = this.#constants.get(key);
    if (value === undefined) {
      value = this.constant(`constant_${this.#constants.size}`, constant);
      this.#constants.set(key, value);
    }
    return value;
  }

  #fresh(type: string): Value {
    return `${type}_${this.#values++}`;
  }
}

function initializerMessage(name: string, constant: Constant): MessageWriter {
  const message = new MessageWriter();
  for (const dimension of constant.shape) {
    message.integer(1, dimension);
  }
  message.integer(2, ELEMENT_TYPES[constant.type]).string(8, name);
  if (constant.bytes.length <= INLINE_BYTES) {
    return message.bytes(9, constant.bytes);
  }
  const entry = (key: string, text: string): MessageWriter => new MessageWriter().string(1, key).string(2, text);
  message.message(13, entry('location', name)).message(13, entry('offset', '0'));
  return message.message(13, entry('length', String(constant.bytes.length))).integer(14, 1);
}

function nodeMessage(node: Node, renamed: ReadonlyMap<Value, string>): MessageWriter {
  const message = new MessageWriter();
  for (const input of node.inputs) {
    message.string(1, renamed.get(input) ?? input);
  }
  for (const output of node.outputs) {
    message.string(2, renamed.get(output) ?? output);
  }
  message.string(3, node.outputs[0] ?? node.type).string(4, node.type);
  for (const [name, value] of Object.entries(node.attributes)) {
    message.message(5, attributeMessage(name, value));
  }
  return message.string(7, node.domain);
}

function attributeMessage(name: string, value: Attribute): MessageWriter {
  const message = new MessageWriter().string(1, name);
  if (typeof value === 'number') {
    return message.integer(3, value).integer(20, 2);
  }
  if (typeof value === 'string') {
    return message.string(4, value).integer(20, 3);
  }
  if ('float' in value) {
    return message.float(2, value.float).integer(20, 1);
  }
  for (const item of value) {
    message.integer(8, item);
  }
  return message.integer(20, 7);
}

function valueInfo(name: string, type: ElementType, shape: readonly Dimension[]): MessageWriter {
  const dimensions = new MessageWriter();
  for (const dimension of shape) {
    const message = new MessageWriter();
    dimensions.message(1, typeof dimension === 'number' ? message.integer(1, dimension) : message.string(2, dimension));
  }
  const tensor = new MessageWriter().integer(1, ELEMENT_TYPES[type]).message(2, dimensions);
  return new MessageWriter().string(1, name).message(2, new MessageWriter().message(1, tensor));
}

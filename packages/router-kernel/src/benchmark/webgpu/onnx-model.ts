/** The router of a framework without a fused one, as an ONNX model: Softmax and TopK. */

/** An ONNX model: `copies` times Softmax and TopK of the logits, each fed by the one before, as protobuf bytes. */
export function routerModel(experts: number, topK: number, copies: number): Uint8Array {
  const nodes: Uint8Array[] = [];
  let input = 'logits';
  for (let copy = 0; copy < copies; copy++) {
    const isLast = copy === copies - 1;
    const [values, ids] = isLast ? ['weights', 'ids'] : [`values${copy}`, `ids${copy}`];
    nodes.push(node('Softmax', [input], [`scores${copy}`], integerAttribute('axis', -1)));
    nodes.push(node('TopK', [`scores${copy}`, 'k'], [values, ids]));
    if (isLast) break;
    // The best weight, [T, 1], is added to the logits: no copy can be left out, and none can start early.
    nodes.push(node('Slice', [values, 'zero', 'one', 'one'], [`best${copy}`]));
    nodes.push(node('Add', ['logits', `best${copy}`], [`logits${copy}`]));
    input = `logits${copy}`;
  }
  const graph = message(
    ...nodes.map((bytes) => field(1, bytes)),
    field(2, text('router')),
    ...[constant('k', [topK]), constant('zero', [0]), constant('one', [1])].map((bytes) => field(5, bytes)),
    field(11, valueInfo('logits', FLOAT, experts)),
    field(12, valueInfo('weights', FLOAT, topK)),
    field(12, valueInfo('ids', INT64, topK)),
  );
  const opset = message(field(1, text('')), field(2, 17));
  return message(field(1, 8), field(7, graph), field(8, opset));
}

/** onnx.TensorProto.DataType */
const FLOAT = 1;
const INT64 = 7;

function node(
  operator: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attribute?: Uint8Array,
): Uint8Array {
  return message(
    ...inputs.map((name) => field(1, text(name))),
    ...outputs.map((name) => field(2, text(name))),
    field(4, text(operator)),
    ...(attribute === undefined ? [] : [field(5, attribute)]),
  );
}

function integerAttribute(name: string, value: number): Uint8Array {
  // AttributeProto: 1 name, 3 i, 20 type, where INT is 2.
  return message(field(1, text(name)), field(3, value), field(20, 2));
}

function constant(name: string, values: readonly number[]): Uint8Array {
  const raw = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return message(field(1, values.length), field(2, INT64), field(8, text(name)), field(9, raw));
}

function valueInfo(name: string, type: number, columns: number): Uint8Array {
  const shape = message(field(1, message(field(2, text('tokens')))), field(1, message(field(1, columns))));
  const tensor = message(field(1, type), field(2, shape));
  return message(field(1, text(name)), field(2, message(field(1, tensor))));
}

/** A protobuf field: numbers as varints, bytes with their length. */
function field(number: number, value: number | Uint8Array): Uint8Array {
  if (typeof value === 'number')
    return message(varint(BigInt(number) << 3n), varint(BigInt.asUintN(64, BigInt(value))));
  return message(varint((BigInt(number) << 3n) | 2n), varint(BigInt(value.length)), value);
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function message(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/**
 * Where the constants lie in a model of ONNX Runtime's own format: a flatbuffer, as onnxruntime/core/flatbuffers/schema/
 * ort.fbs declares it.
 */

/** Which field of its table each of these is. */
const SESSION_MODEL = 1;
const MODEL_GRAPH = 7;
const GRAPH_INITIALIZERS = 0;
const TENSOR_NAME = 0;
const TENSOR_RAW_DATA = 4;

/** A flatbuffer's vector of bytes: where it starts, and how long it is. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** The bytes of every constant of a model, by name. Throws RangeError for bytes that are no such model. */
export function ortFormatConstants(model: Uint8Array): ReadonlyMap<string, Extent> {
  const view = new DataView(model.buffer, model.byteOffset, model.byteLength);
  /** Where a table's field lies, or null where the table does not have it. */
  const field = (table: number, index: number): number | null => {
    const fields = table - view.getInt32(table, true);
    const entry = 4 + 2 * index;
    if (entry >= view.getUint16(fields, true)) return null;
    const offset = view.getUint16(fields + entry, true);
    return offset === 0 ? null : table + offset;
  };
  const follow = (position: number): number => position + view.getUint32(position, true);
  const required = (table: number, index: number): number => {
    const position = field(table, index);
    if (position === null) throw new RangeError(`A table at byte ${table} has no field ${index}`);
    return follow(position);
  };
  const extent = (vector: number): Extent => ({ offset: vector + 4, length: view.getUint32(vector, true) });

  const initializers = required(required(required(follow(0), SESSION_MODEL), MODEL_GRAPH), GRAPH_INITIALIZERS);
  const constants = new Map<string, Extent>();
  const { offset, length } = extent(initializers);
  for (let index = 0; index < length; index++) {
    const tensor = follow(offset + 4 * index);
    const name = extent(required(tensor, TENSOR_NAME));
    const data = field(tensor, TENSOR_RAW_DATA);
    if (data === null) continue;
    const text = new TextDecoder().decode(model.subarray(name.offset, name.offset + name.length));
    constants.set(text, extent(follow(data)));
  }
  return constants;
}

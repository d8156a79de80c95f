/**
 * Which bytes of a file are there already. A file is downloaded in pieces of one size, several at a time; each fills from
 * its beginning.
 */

import { isJsonObject } from '../files/json-text.ts';

/** Bytes of a piece: few enough requests for a hub that counts them, enough pieces for every connection. */
export const PIECE_BYTES = 64 * 2 ** 20;

/** A range of a file that is still to come. */
export interface MissingRange {
  /** The piece's number, from 0. */
  readonly piece: number;
  /** First byte. */
  readonly begin: number;
  /** One past the last. */
  readonly end: number;
}

/** The bytes of one file, by pieces. */
export class PieceMap {
  /** Bytes of the file. */
  readonly size: number;
  readonly pieceBytes: number;
  /** Bytes that are there of each piece. */
  readonly #done: number[];

  constructor(size: number, pieceBytes = PIECE_BYTES) {
    this.size = size;
    this.pieceBytes = pieceBytes;
    this.#done = Array.from({ length: Math.ceil(size / pieceBytes) }, () => 0);
  }

  /** What `JSON.stringify` made of a map of a file of this size; null for anything else. */
  static fromJson(json: unknown, size: number): PieceMap | null {
    if (!isJsonObject(json) || json['size'] !== size) return null;
    const { pieceBytes, done } = json;
    if (!isCount(pieceBytes) || pieceBytes === 0 || !Array.isArray(done)) return null;
    const map = new PieceMap(size, pieceBytes);
    if (done.length !== map.#done.length) return null;
    for (const [piece, bytes] of done.entries()) {
      if (!isCount(bytes) || bytes > map.#length(piece)) return null;
      map.#done[piece] = bytes;
    }
    return map;
  }

  get doneBytes(): number {
    return this.#done.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** How many pieces there are. */
  get pieces(): number {
    return this.#done.length;
  }

  /** What is to come of a piece; null where it is all there. */
  missing(piece: number): MissingRange | null {
    const begin = piece * this.pieceBytes + (this.#done[piece] ?? 0);
    const end = piece * this.pieceBytes + this.#length(piece);
    return begin < end ? { piece, begin, end } : null;
  }

  /** So many bytes more of a piece are there. */
  add(piece: number, bytes: number): void {
    this.#done[piece] = (this.#done[piece] ?? 0) + bytes;
  }

  toJSON(): object {
    return { size: this.size, pieceBytes: this.pieceBytes, done: this.#done };
  }

  #length(piece: number): number {
    return Math.min(this.pieceBytes, this.size - piece * this.pieceBytes);
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

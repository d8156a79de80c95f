/** What a file is that is not what its name says: told by how it begins. */

import { ForeignFileError } from '../errors.ts';

/** Bytes of a file's beginning that tell what it is. */
export const HEAD_BYTES = 512;

interface Signature {
  readonly what: string;
  readonly advice: string;
  /** Text, one character a byte. */
  readonly begins: readonly string[];
  /** Where in the file; default 0. */
  readonly at?: number;
}

const DOWNLOAD = 'download the file itself, as `hf download` does';
const PICKLED = 'take the safetensors files of the model, or save its tensors with the safetensors library';
const PACKED = 'unpack it, and put the files that are in it into the folder';

/** @see https://git-lfs.com, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, and `file`'s magic for the others. */
const SIGNATURES: readonly Signature[] = [
  {
    what: 'a pointer of Git LFS, which stands for the file',
    advice: `run \`git lfs pull\` in the folder, or ${DOWNLOAD}`,
    begins: ['version https://git-lfs.github.com/', 'version https://hawser.github.com/'],
  },
  {
    what: 'a pointer of Xet, which stands for the file',
    advice: `run \`git xet install\` and \`git lfs pull\` in the folder, or ${DOWNLOAD}`,
    begins: ['# xet version'],
  },
  {
    what: 'a GGUF model',
    advice: 'take the safetensors files that it was made from: GGUF is not read',
    begins: ['GGUF', 'FUGG'],
  },
  {
    what: 'a model of an old format of ggml',
    advice: 'take the safetensors files that it was made from',
    begins: ['lmgg', 'tjgg', 'fmgg', 'algg'],
  },
  {
    what: 'a zip archive, as PyTorch also writes checkpoints',
    advice: `${PACKED}; of a PyTorch checkpoint, ${PICKLED}`,
    begins: ['PK\x03\x04', 'PK\x05\x06', 'PK\x07\x08'],
  },
  {
    what: 'a pickle, as old versions of PyTorch write checkpoints',
    advice: PICKLED,
    begins: ['\x80\x02', '\x80\x03', '\x80\x04', '\x80\x05'],
  },
  { what: 'a gzip archive', advice: PACKED, begins: ['\x1f\x8b'] },
  { what: 'a Zstandard archive', advice: PACKED, begins: ['\x28\xb5\x2f\xfd'] },
  { what: 'an xz archive', advice: PACKED, begins: ['\xfd7zXZ\x00'] },
  { what: 'a bzip2 archive', advice: PACKED, begins: ['BZh'] },
  { what: 'a 7-Zip archive', advice: PACKED, begins: ['7z\xbc\xaf\x27\x1c'] },
  { what: 'a tar archive', advice: PACKED, begins: ['ustar'], at: 257 },
  {
    what: 'an HDF5 file, as Keras and TensorFlow write them',
    advice: 'take the safetensors files of the model',
    begins: ['\x89HDF\r\n\x1a\n'],
  },
  {
    what: 'a NumPy array',
    advice: 'take the safetensors files of the model',
    begins: ['\x93NUMPY'],
  },
];

/** What a download that went wrong leaves: a page of the site, or its answer. */
const WEB_PAGE = /^\s*<(?:!doctype|html|head|\?xml|error)/i;

/**
 * Throws ForeignFileError where the beginning of a file tells that it is something else; otherwise returns, and what is
 * wrong is the caller's to say.
 *
 * @param head the first HEAD_BYTES of the file, or all of a shorter one.
 */
export function refuseForeignFile(head: Uint8Array, path: string, expected: 'a safetensors file' | 'JSON'): void {
  const text = Buffer.from(head.buffer, head.byteOffset, head.length).toString('latin1');
  for (const { what, advice, begins, at = 0 } of SIGNATURES) {
    if (begins.some((signature) => text.startsWith(signature, at))) {
      throw new ForeignFileError(path, expected, what, advice);
    }
  }
  if (WEB_PAGE.test(text)) throw new ForeignFileError(path, expected, 'a web page', DOWNLOAD);
  if (expected === 'JSON') {
    if (isSafetensors(head))
      throw new ForeignFileError(path, expected, 'a safetensors file', 'give it its own name back');
    return;
  }
  if (text.length > 0 && /^\0*$/.test(text)) {
    throw new ForeignFileError(path, expected, 'zeros, as a download that did not end leaves them', DOWNLOAD);
  }
  if (text.length >= 4 && /^[\t\n\r\x20-\x7e]*$/.test(text)) {
    throw new ForeignFileError(
      path,
      expected,
      `a text, which begins with ${JSON.stringify(text.slice(0, 60))}`,
      DOWNLOAD,
    );
  }
}

/** Whether a file begins with the length of a header and a brace. */
function isSafetensors(head: Uint8Array): boolean {
  return head.length > 8 && head[8] === 0x7b && head.subarray(4, 8).every((byte) => byte === 0);
}

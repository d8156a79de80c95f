/** What WebGPU programs share, and WebGPU itself in Node through the optional package `webgpu` (Dawn). */

export * from './browser.ts';
export { openDawn } from './dawn.ts';
export { unpackSwiftShader } from './swiftshader.ts';

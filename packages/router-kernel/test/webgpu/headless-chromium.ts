/** Chromium from npm packages: unpacked by @sparticuz/chromium, driven by playwright-core, WebGPU on SwiftShader. */

import chromium, { inflate } from '@sparticuz/chromium';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { chromium as playwright } from 'playwright-core';
import type { Browser } from 'playwright-core';

/** Chromium's own words when the dynamic loader finds no file for a library. */
const MISSING_LIBRARY = /error while loading shared libraries: [^\n]*/;

/**
 * Starts Chromium.
 *
 * @returns the browser, or the reason why this system cannot start it: a shared library that is missing
 */
export async function startChromium(withWebGpu: boolean): Promise<Browser | string> {
  const executablePath = await chromium.executablePath();
  const packageFolder = dirname(dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium')));
  // The package unpacks the libraries that Chromium needs only where it sees itself in a cloud function.
  const libraries = await inflate(join(packageFolder, 'bin', 'al2023.tar.br'));
  const args = ['--no-sandbox', '--headless=new', '--disable-dev-shm-usage'];
  if (withWebGpu) {
    args.push('--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--use-angle=swiftshader');
    args.push('--enable-features=Vulkan', '--use-vulkan=swiftshader', '--ignore-gpu-blocklist');
  } else {
    args.push('--disable-gpu', '--disable-features=WebGPU', '--disable-blink-features=WebGPU');
  }
  try {
    return await playwright.launch({
      executablePath,
      args,
      env: {
        ...process.env,
        LD_LIBRARY_PATH: [join(libraries, 'lib'), process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':'),
      },
    });
  } catch (error) {
    const missing = MISSING_LIBRARY.exec(String(error))?.[0];
    if (missing === undefined) throw error;
    return missing;
  }
}

/** Preloaded: at the end, writes to the file PROCESS_REPORT which native libraries the process had, and its memory. */

import { writeFileSync } from 'node:fs';

process.on('exit', () => {
  const { sharedObjects } = process.report.getReport();
  // maxRSS is in kilobytes.
  const residentBytes = process.resourceUsage().maxRSS * 1024;
  writeFileSync(process.env['PROCESS_REPORT'], JSON.stringify({ libraries: sharedObjects, residentBytes }));
});

/** Finding compilers. */
import { execFileSync } from 'node:child_process';

/** Those of the programs that cannot be started. */
export function missingOf(programs) {
  return programs.filter((program) => {
    try {
      execFileSync(program, ['--version'], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
}

/**
 * Tools as the model reads them: TypeScript-like declarations in a namespace, made from JSON Schema.
 */

import { DuplicateToolError } from '../../errors.ts';
import { flatObjectType } from './flat-types.ts';
import type { HarmonyFormat } from './format.ts';
import { commentLines, propertiesOf } from './json-schema.ts';
import { nestedType } from './nested-types.ts';
import { FUNCTIONS_NAMESPACE, qualifiedToolName } from './tool-name.ts';
import type { HarmonyTool } from './types.ts';

/**
 * The `# Tools` section of the developer message.
 *
 * @param style `nested` or `flat`: see HarmonyFormat.
 * @throws InvalidToolNameError, DuplicateToolError
 */
export function declareTools(tools: readonly HarmonyTool[], style: HarmonyFormat['toolParameters']): string {
  const names = new Set<string>();
  let text = `# Tools\n\n## ${FUNCTIONS_NAMESPACE}\n\nnamespace ${FUNCTIONS_NAMESPACE} {\n\n`;
  for (const tool of tools) {
    qualifiedToolName(tool.name);
    if (names.has(tool.name)) throw new DuplicateToolError(tool.name);
    names.add(tool.name);
    text += declareTool(tool, style);
  }
  return `${text}} // namespace ${FUNCTIONS_NAMESPACE}`;
}

function declareTool(tool: HarmonyTool, style: HarmonyFormat['toolParameters']): string {
  const parameters = tool.parameters ?? {};
  let type = '()';
  if (propertiesOf(parameters).length > 0) {
    type = `(_: ${style === 'flat' ? flatObjectType(parameters) : nestedType({ ...parameters, type: 'object' })})`;
  }
  return `${toolComment(tool.description, style)}type ${tool.name} = ${type} => any;\n\n`;
}

function toolComment(description: string | undefined, style: HarmonyFormat['toolParameters']): string {
  if (description === undefined) return '';
  // The chat template writes the description as it is: a second line of it stands outside the comment.
  if (style === 'flat') return `// ${description}\n`;
  return description === '' ? '' : commentLines(description);
}

/**
 * The OpenAI HTTP API in front of an engine.
 */

export type { LoadEngine, ServerState } from './engine-holder.ts';
export { SERVER_DEFAULTS, type ServerOptions } from './options.ts';
export { type RunningServer, startServer } from './start-server.ts';

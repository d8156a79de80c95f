import type { ErrorStatus, OpenAiError } from './openai-error.ts';

const TYPES: Partial<Readonly<Record<ErrorStatus, string>>> = {
  401: 'authentication_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  503: 'overloaded_error',
};

/** A failure as Anthropic's clients expect it. */
export function anthropicErrorBody({ status, param, message }: OpenAiError): object {
  const text = param === null || message.includes(param) ? message : `${param}: ${message}`;
  return { type: 'error', error: { type: TYPES[status] ?? 'invalid_request_error', message: text } };
}

/**
 * The formats of strings that are enforced, as regular expressions. What they take is always of the format; some of
 * what a format has (a leap second, a quoted mailbox, a zone in an IPv6 address) is left out.
 */
const LEAP_YEAR = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)';
const DATE =
  '(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|' +
  `02-(?:0[1-9]|1\\d|2[0-8]))|${LEAP_YEAR}-02-29)`;
const TIME = '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)';
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = `${OCTET}(?:\\.${OCTET}){3}`;
const label = (longest: number): string => `[A-Za-z0-9](?:[A-Za-z0-9-]{0,${longest - 2}}[A-Za-z0-9])?`;
/** Short enough that nobody has to count all of their characters. */
const NAMES = `${label(24)}(?:\\.${label(24)}){1,3}`;
const HOSTNAME = `(?:${label(63)}|${NAMES})`;
const HEX = '[0-9A-Fa-f]{1,4}';
const TIMESPAN = 'T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S)';
const DAYS = '\\d{1,9}D';
const MONTHS = `\\d{1,9}M(?:${DAYS})?`;
const YEARS = `\\d{1,9}Y(?:${MONTHS})?`;
const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
const PATH_CHARACTER = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
const SEGMENT = "(?:[A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})";
const TAIL = `(?:\\?(?:${PATH_CHARACTER}|[/?])*)?(?:#(?:${PATH_CHARACTER}|[/?])*)?`;
const AUTHORITY = '[A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)*(?::\\d{1,5})?';
const URI = `[A-Za-z][A-Za-z0-9+.-]*:(?://${AUTHORITY}(?:/${PATH_CHARACTER}*)*|${PATH_CHARACTER}+(?:/${PATH_CHARACTER}*)*)${TAIL}`;
const REFERENCE = `(?:${URI}|/?(?:${SEGMENT}+/)*${SEGMENT}*${TAIL})`;
const POINTER = '(?:/(?:[^~/]|~[01])*)*';

function ipv6(): string {
  const groups = (count: number): string => `(?:${HEX}:){${count}}${HEX}`;
  const forms = [groups(7), `(?:${HEX}:){6}${IPV4}`];
  for (let left = 0; left <= 6; left += 1) {
    const before = left === 0 ? '' : groups(left - 1);
    const most = 6 - left;
    forms.push(`${before}::${most === 0 ? `(?:${HEX})?` : `(?:(?:${HEX}:){0,${most}}${HEX})?`}`);
  }
  return `(?:${forms.join('|')})`;
}

const WHOLE: Readonly<Record<string, string>> = {
  'date-time': `${DATE}T${TIME}`,
  date: DATE,
  time: TIME,
  duration: `P(?:${DAYS}(?:${TIMESPAN})?|${MONTHS}(?:${TIMESPAN})?|${YEARS}(?:${TIMESPAN})?|${TIMESPAN}|\\d{1,9}W)`,
  email: `${ATOM}{1,32}(?:\\.${ATOM}{1,10}){0,3}@${NAMES}`,
  hostname: HOSTNAME,
  ipv4: IPV4,
  ipv6: ipv6(),
  uuid: '[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}',
  uri: URI,
  'uri-reference': REFERENCE,
  'json-pointer': POINTER,
  'relative-json-pointer': `(?:0|[1-9]\\d{0,8})(?:#|${POINTER})`,
};
/** What an international form has beyond ASCII is left out. */
const SAME_AS: Readonly<Record<string, string>> = {
  'idn-email': 'email',
  'idn-hostname': 'hostname',
  iri: 'uri',
  'iri-reference': 'uri-reference',
};

/** Formats of the specification that no regular expression here stands for. */
export const UNKNOWN_STANDARD_FORMATS: ReadonlySet<string> = new Set(['regex', 'uri-template']);

/** A format's regular expression; undefined for a format that nothing is known of. */
export function formatPattern(format: string): string | undefined {
  const name = Object.hasOwn(SAME_AS, format) ? SAME_AS[format] : format;
  const whole = name !== undefined && Object.hasOwn(WHOLE, name) ? WHOLE[name] : undefined;
  return whole === undefined ? undefined : `^(?:${whole})$`;
}

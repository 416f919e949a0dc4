// Which rule of R4 decides a kind of case, in short and with its place, to print beside a difference.

/** The rule for a case's group and kind. */
export function ruleFor({ group, kind }) {
  const found = RULES.find(([pattern]) => pattern.test(`${group} ${kind}`));
  return found ? found[1] : 'search.html';
}

const RULES = [
  [/^any two/, 'search.html#combining: parameters are joined by AND'],
  [/^any no parameter/, 'search.html: without a filter all resources of the type match'],
  [/:missing/, 'search.html#modifiers: true finds the resources without a value, false those with one'],
  [/ or$|, or$/, 'search.html#combining: values joined by a comma are alternatives'],
  [/^date (eq|no)/, 'search.html#prefix eq: the searched range fully contains the range of the value'],
  [/^number (eq|no)|^quantity (eq|no)/, 'search.html#number: the range half a unit of the last digit about the number'],
  [/ ne[, ]|with ne/, 'search.html#prefix ne: the searched range does not fully contain the range of the value'],
  [/ gt[, ]|with gt/, 'search.html#prefix gt: the range above the searched one overlaps with that of the value; numbers are exact'],
  [/ lt[, ]/, 'search.html#prefix lt: the range below the searched one overlaps with that of the value; numbers are exact'],
  [/ ge[, ]/, 'search.html#prefix ge: as gt, or the searched range fully contains that of the value'],
  [/ le[, ]|with le/, 'search.html#prefix le: as lt, or the searched range fully contains that of the value'],
  [/ sa[, ]/, 'search.html#prefix sa: the range above the searched one contains that of the value, without overlap'],
  [/ eb[, ]/, 'search.html#prefix eb: the range below the searched one contains that of the value, without overlap'],
  [/ ap[, ]/, 'search.html#prefix ap: the ranges overlap, widened by about a tenth'],
  [/^quantity/, 'search.html#quantity: number|system|code; with an empty system, code or unit'],
  [/^string :exact/, 'search.html#string :exact: the whole string with its case and accents'],
  [/^string :contains/, 'search.html#string :contains: anywhere in the string, case and accents aside'],
  [/^string/, 'search.html#string: equals or starts with the value, case and accents aside'],
  [/^token :not/, 'search.html#token :not: all resources that have no matching item, also those without a value'],
  [/^token :text/, 'search.html#token :text: searched as a string in text, display and type.text'],
  [/^token :of-type/, 'search.html#token :of-type: system|code|value of Identifier.type and Identifier.value'],
  [/^token code, other case/, 'search.html#token: when in doubt, tokens are treated without regard to case'],
  [/^token \|code/, 'search.html#token |code: the code, where the item has no system'],
  [/^token system\|$/, 'search.html#token system|: any code of the system'],
  [/^token/, 'search.html#token: code in any system, or system|code'],
  [/^reference :identifier/, 'search.html#reference :identifier: searched as a token in Reference.identifier'],
  [/^reference/, 'search.html#reference: id, Type/id or URL; :Type=id'],
  [/^uri :below/, 'search.html#uri :below: values that begin with the URL'],
  [/^uri :above/, 'search.html#uri :above: values that the URL begins with'],
  [/^uri/, 'search.html#uri: precise, with case, accents and escapes'],
  [/^composite/, 'search.html#composite: both parts hold in one and the same element'],
  [/^chain/, 'search.html#chaining: the referred resource satisfies the rest of the chain'],
  [/^_has/, 'search.html#has: some resource that refers to this one satisfies the rest'],
  [/^_(rev)?include/, 'search.html#include: of matches only; with :iterate of what was included too'],
  [/^_sort/, 'search.html#sort: in the order of the parameter\'s values'],
  [/^refused mod/, 'search.html#modifiers: a modifier that the server does not support for the parameter shall be refused'],
  [/^refused/, 'search.html#errors: a value that cannot be processed is a client error'],
];

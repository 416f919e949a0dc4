// Holds the answers of the engine under test against the expected ones, and prints the table and the differences.

/** `undefined` when they agree, else what differs, as one line. `answer` is `{matches, includes, refused}`. */
export function difference(oracle, { query, matches, includes, sort, refused, atLeast }, answer) {
  if (answer.failed) return `failed: ${answer.failed}`;
  if (refused) return answer.refused ? undefined : `answered ${brief(answer.matches)}, but shall refuse`;
  if (answer.refused) return `refused (${answer.refused}), but there are ${brief(matches)}`;
  const compared = answer.includes
    ? [['matches', matches, answer.matches], ['includes', includes, answer.includes]]
    : [['results', [...matches, ...includes], answer.matches]];
  for (const [name, wanted, got] of compared) {
    const missing = wanted.filter((each) => !got.includes(each));
    const surplus = atLeast ? [] : got.filter((each) => !wanted.includes(each));
    if (missing.length || surplus.length) return `${name}: missing ${brief(missing)}, surplus ${brief(surplus)}`;
    if (new Set(got).size !== got.length) return `${name}: some twice`;
  }
  return sort ? disorder(oracle, query, sort, answer.matches) : undefined;
}

/** The table: one row for each parameter type, prefix and modifier. */
export function table(results) {
  const rows = new Map();
  for (const { group, kind, differs, listed } of results) {
    const key = `${group.padEnd(11)} ${kind}`;
    const row = rows.get(key) ?? { cases: 0, agree: 0, differ: 0, listed: 0 };
    row.cases += 1;
    row[differs ? (listed ? 'listed' : 'differ') : 'agree'] += 1;
    rows.set(key, row);
  }
  const line = (name, row) => `${name.padEnd(44)} ${['cases', 'agree', 'differ', 'listed']
    .map((column) => String(row[column]).padStart(7)).join(' ')}`;
  const total = { cases: 0, agree: 0, differ: 0, listed: 0 };
  for (const row of rows.values()) for (const column of Object.keys(total)) total[column] += row[column];
  const head = line('type        prefix, modifier or form',
    { cases: 'cases', agree: 'agree', differ: 'differ', listed: 'listed' });
  return [head, ...[...rows].sort(([left], [right]) => (left < right ? -1 : 1)).map(([name, row]) => line(name, row)),
    line('all', total)].join('\n');
}

// Where resources without a value stand, and by which end a period is sorted, search.html#sort leaves open. So a
// difference is only a resource that is later at both ends and stands before another; the second key counts where the
// first is the same.
function disorder(oracle, query, sort, order) {
  const rules = sort.split(',').map((rule) => ({ code: rule.replace(/^-/, ''), descending: rule.startsWith('-') }));
  const rows = order.map((key) => ({
    key, ranges: rules.map(({ code, descending }) => oracle.sortKey(oracle.byKey.get(key), code, descending)),
  }));
  const gaps = rows.slice(1).filter(({ ranges }, place) => Boolean(ranges[0]) !== Boolean(rows[place].ranges[0])).length;
  if (gaps > 1) return 'order: resources without a value stand among the others';
  for (let place = 1; place < rows.length; place += 1) {
    const [before, after] = [rows[place - 1], rows[place]];
    if (misplaced(rules, before.ranges, after.ranges)) return `order: ${before.key} before ${after.key} in ${query}`;
  }
  return undefined;
}

function misplaced(rules, before, after) {
  for (const [place, { descending }] of rules.entries()) {
    const [first, second] = descending ? [after[place], before[place]] : [before[place], after[place]];
    if (!first || !second) return false;
    if (first[0] > second[0] && first[1] > second[1]) return true;
    if (first[0] !== second[0] || first[1] !== second[1]) return false;
  }
  return false;
}

function brief(list) {
  const shown = list.slice(0, 4).join(' ');
  return list.length > 4 ? `${list.length} (${shown} …)` : `${list.length} (${shown})`;
}

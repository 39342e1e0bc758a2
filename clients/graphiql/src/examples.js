/**
 * The operations the server put into the page, as GraphiQL tabs. In variables `<today>` and `<today+N>` stand for
 * dates of the visitor's own calendar, so that an example is never out of date.
 */
export function readExamples(pageData, now = new Date()) {
  return pageData.operations.map(({ name, query, variables, headers }) => ({
    name,
    query,
    variables: variables.replace(/<today(?:\+(\d+))?>/g, (_, days) => isoDate(now, Number(days ?? 0))),
    headers,
  }));
}

function isoDate(now, daysLater) {
  const day = new Date(now.getFullYear(), now.getMonth(), now.getDate() + daysLater);
  const pad = (number) => String(number).padStart(2, "0");
  return `${day.getFullYear()}-${pad(day.getMonth() + 1)}-${pad(day.getDate())}`;
}

/* Numbers a flag's rules in their order on the page, each on its side of the running experiment's place. */
window.flagshipPriorities = (rules, experimentPlace = Number.NaN) => {
  const STEP = 10;
  const given = rules.map(({ priority }) => priority).filter((priority) => priority !== undefined);
  // A move deals the same priorities in another order, so the experiment stays after as many rules as before.
  const places = given.sort((one, other) => one - other)[Symbol.iterator]();
  let last = 0;
  const dealt = rules.map((rule, index) => {
    if (rule.priority !== undefined) {
      last = places.next().value;
      return last;
    }
    const hasNext = rules.slice(index).some(({ priority }) => priority !== undefined);
    const next = hasNext
      ? given[rules.slice(0, index).filter(({ priority }) => priority !== undefined).length]
      : undefined;
    // A new rule beside the experiment goes after it: there it changes nothing for those who take part.
    const isBeside = last < experimentPlace && (next === undefined || next > experimentPlace);
    const low = isBeside ? experimentPlace : last;
    const middle = next === undefined ? STEP * (Math.floor(low / STEP) + 1) : (low + next) / 2;
    last = Math.floor(middle) > low ? Math.floor(middle) : middle;
    return last;
  });
  if (dealt.every(Number.isInteger)) return dealt;
  // Without room between two of them, all are numbered anew, each on its side of the experiment.
  const here = dealt.filter((place) => place < experimentPlace).length;
  // No number is below 0, so no more rules fit before the experiment than its place says. The others go after it.
  const before = Math.min(here, experimentPlace || 0);
  const beyond = Number.isNaN(experimentPlace) ? 0 : Math.floor(experimentPlace / STEP);
  return dealt.map((_, index) =>
    index < before ? Math.floor((experimentPlace * (index + 1)) / (before + 1)) : STEP * (beyond + index - before + 1),
  );
};

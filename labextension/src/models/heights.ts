/**
 * How tall each section of a panel is, in pixels: as its content where all fit, the last one taking what is left; else
 * those that want more than an equal part share what the others leave.
 */
export function sectionHeights(
  wanted: ReadonlyArray<number>,
  room: number
): number[] {
  const total = wanted.reduce((sum, one) => sum + one, 0);
  if (total <= room) {
    const last = wanted.length - 1;
    return wanted.map((one, at) => (at === last ? one + room - total : one));
  }
  const heights = [...wanted];
  let greedy = wanted.map((_, at) => at);
  let left = room;
  for (;;) {
    const part = left / greedy.length;
    const modest = greedy.filter(at => wanted[at] <= part);
    if (modest.length === 0) {
      greedy.forEach(at => {
        heights[at] = part;
      });
      return heights;
    }
    left -= modest.reduce((sum, at) => sum + wanted[at], 0);
    greedy = greedy.filter(at => !modest.includes(at));
  }
}

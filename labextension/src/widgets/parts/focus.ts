import type { RefObject } from 'react';
import { useEffect, useRef } from 'react';

/**
 * What is to have the focus once the list below a host is as it was asked to be.
 */
export type Find = (host: HTMLElement) => Element | null | undefined;

const FIELDS = [
  'input:not([type="checkbox"], [type="radio"]), select',
  'summary, button'
];

/**
 * A host, and a way to put the focus into its first field of what was just added, or beside what was just removed.
 */
export function useFocus<T extends HTMLElement>(): [
  RefObject<T>,
  (find: Find) => void
] {
  const host = useRef<T>(null);
  const wanted = useRef<Find | null>(null);
  useEffect(() => {
    const find = wanted.current;
    if (find === null || host.current === null) {
      return;
    }
    wanted.current = null;
    const found = find(host.current);
    const isField = found?.matches(FIELDS.join(', ')) ?? false;
    const field = isField ? found : firstField(found);
    (field as HTMLElement | undefined)?.focus();
  });
  return [
    host,
    find => {
      wanted.current = find;
    }
  ];
}

/**
 * The child with a number, or the last one there is.
 */
export function childAt(index: number): Find {
  return host => host.children[index] ?? host.lastElementChild;
}

/**
 * The first that can be seen: of what is written into, else of what opens or does something.
 */
function firstField(found: Element | null | undefined): Element | undefined {
  return FIELDS.flatMap(fields => [
    ...(found?.querySelectorAll(fields) ?? [])
  ]).find(field => (field as HTMLElement).getClientRects().length > 0);
}

import type { JSX, KeyboardEvent, ReactNode } from 'react';
import { useRef, useState } from 'react';

/**
 * A row of a list: what it shows, and what a screen reader says of it.
 */
export interface IRow {
  id: string;
  /**
   * What a screen reader says of the row.
   */
  label: string;
  content: ReactNode;
  caption?: string;
  className?: string;
}

/**
 * A list of rows, and what opening one does.
 */
export interface IRowListProps {
  label: string;
  rows: ReadonlyArray<IRow>;
  /**
   * Enter, Space or a click.
   */
  onOpen?: (id: string) => void;
  /**
   * Rows that are open, with what they show beneath.
   */
  details?: { [id: string]: ReactNode };
  expandable?: boolean;
}

/**
 * The row that a key goes to, from the one at `index` of `last` and one; undefined where it goes to none.
 */
export function rowOf(
  key: string,
  index: number,
  last: number
): number | undefined {
  const targets: { [key: string]: number } = {
    ArrowDown: Math.min(index + 1, last),
    ArrowUp: Math.max(index - 1, 0),
    Home: 0,
    End: last
  };
  return targets[key];
}

/**
 * A list of 24-pixel rows with one tab stop: arrows, Home and End move, Enter opens.
 */
export function RowList(props: IRowListProps): JSX.Element {
  const [current, setCurrent] = useState<string | null>(null);
  const list = useRef<HTMLUListElement>(null);
  const index = Math.max(
    0,
    props.rows.findIndex(row => row.id === current)
  );

  function move(event: KeyboardEvent): void {
    const last = props.rows.length - 1;
    const target = rowOf(event.key, index, last);
    if (target === undefined) {
      return;
    }
    event.preventDefault();
    setCurrent(props.rows[target].id);
    const buttons = list.current?.querySelectorAll<HTMLElement>(
      ':scope > li > .jp-FlipRow'
    );
    buttons?.[target].focus();
  }

  return (
    <ul className="jp-FlipRowList" aria-label={props.label} ref={list}>
      {props.rows.map((row, at) => (
        <li key={row.id}>
          <button
            type="button"
            className={`jp-FlipRow ${row.className ?? ''}`}
            data-id={row.id}
            aria-label={row.label}
            aria-expanded={
              props.expandable ? Boolean(props.details?.[row.id]) : undefined
            }
            title={row.caption ?? row.label}
            tabIndex={at === index ? 0 : -1}
            onFocus={() => setCurrent(row.id)}
            onClick={() => props.onOpen?.(row.id)}
            onKeyDown={move}
          >
            {row.content}
          </button>
          {props.details?.[row.id]}
        </li>
      ))}
    </ul>
  );
}

import type { JSX, KeyboardEvent } from 'react';
import { useEffect, useId, useRef, useState } from 'react';

/**
 * A kind of thing that can be added.
 */
export interface IAddition {
  label: string;
  add: () => void;
}

/**
 * One button that opens to what can be added: arrows move, Enter adds, Escape closes.
 */
export function AddMenu(props: {
  /** What stands on the button. */
  label: string;
  /** What it adds to, for screen readers. */
  title: string;
  additions: ReadonlyArray<IAddition>;
}): JSX.Element {
  const { label, title, additions } = props;
  const id = useId();
  const menu = useRef<HTMLUListElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const [open, setOpen] = useState(false);

  useEffect(() => {
    if (open) {
      menu.current?.querySelector('button')?.focus();
      menu.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [open]);

  function close(): void {
    setOpen(false);
    button.current?.focus();
  }

  function press(event: KeyboardEvent): void {
    const items = [...(menu.current?.querySelectorAll('button') ?? [])];
    const at = items.findIndex(item => item === document.activeElement);
    switch (event.key) {
      case 'ArrowDown':
        items[(at + 1) % items.length]?.focus();
        break;
      case 'ArrowUp':
        items[(at - 1 + items.length) % items.length]?.focus();
        break;
      case 'Escape':
        close();
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <span
      className="jp-FlipMenu"
      onKeyDown={event => open && press(event)}
      onBlur={event => {
        if (!event.currentTarget.contains(event.relatedTarget)) {
          setOpen(false);
        }
      }}
    >
      <button
        ref={button}
        type="button"
        className="jp-FlipLink"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={`${id}-menu`}
        aria-label={title}
        onClick={() => setOpen(!open)}
      >
        {`+ ${label}`}
      </button>
      <ul
        ref={menu}
        id={`${id}-menu`}
        role="menu"
        aria-label={title}
        hidden={!open}
        className="jp-FlipMenu-list"
      >
        {additions.map(addition => (
          <li key={addition.label} role="none">
            <button
              type="button"
              role="menuitem"
              tabIndex={-1}
              className="jp-FlipMenu-item"
              onClick={() => {
                setOpen(false);
                addition.add();
              }}
            >
              {addition.label}
            </button>
          </li>
        ))}
      </ul>
    </span>
  );
}

import type { JSX, KeyboardEvent } from 'react';
import { useId, useRef } from 'react';

/**
 * A tab and what it shows.
 */
export interface ITab {
  id: string;
  label: string;
  content: JSX.Element;
}

/**
 * Tabs after the WAI-ARIA pattern: arrows move, Home and End jump, the panel follows the chosen tab.
 */
export function Tabs(props: {
  label: string;
  tabs: ReadonlyArray<ITab>;
  chosen: string;
  onChoose: (id: string) => void;
}): JSX.Element {
  const { tabs, chosen, onChoose } = props;
  const base = useId();
  const list = useRef<HTMLDivElement>(null);
  const index = Math.max(
    0,
    tabs.findIndex(tab => tab.id === chosen)
  );

  function move(event: KeyboardEvent): void {
    const last = tabs.length - 1;
    const targets: { [key: string]: number } = {
      ArrowRight: index === last ? 0 : index + 1,
      ArrowLeft: index === 0 ? last : index - 1,
      Home: 0,
      End: last
    };
    const target = targets[event.key];
    if (target === undefined) {
      return;
    }
    event.preventDefault();
    onChoose(tabs[target].id);
    list.current?.querySelectorAll('button')[target]?.focus();
  }

  return (
    <>
      <div
        className="jp-FlipTabs"
        role="tablist"
        aria-label={props.label}
        ref={list}
      >
        {tabs.map((tab, at) => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            id={`${base}-${tab.id}`}
            aria-selected={at === index}
            aria-controls={`${base}-panel`}
            tabIndex={at === index ? 0 : -1}
            className="jp-FlipTabs-tab"
            onClick={() => onChoose(tab.id)}
            onKeyDown={move}
          >
            {tab.label}
          </button>
        ))}
      </div>
      <div
        role="tabpanel"
        id={`${base}-panel`}
        aria-labelledby={`${base}-${tabs[index].id}`}
        className="jp-FlipTabs-panel"
        tabIndex={0}
      >
        {tabs[index].content}
      </div>
    </>
  );
}

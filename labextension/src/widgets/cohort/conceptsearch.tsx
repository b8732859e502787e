import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX, KeyboardEvent } from 'react';
import { useEffect, useId, useState } from 'react';

import type { IFoundConcept, IFoundConcepts } from '../../contracts';
import { messageOf } from '../../models/refusal';

const PAUSE_MILLISECONDS = 250;

/**
 * A combobox over the researcher's own vocabulary: type, move with the arrows, take with Enter.
 */
export function ConceptSearch(props: {
  label: string;
  find: (text: string) => Promise<IFoundConcepts>;
  onTake: (concept: IFoundConcept) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { find, onTake, trans } = props;
  const id = useId();
  const [text, setText] = useState('');
  const [found, setFound] = useState<IFoundConcepts | null>(null);
  const [problem, setProblem] = useState('');
  const [active, setActive] = useState(0);

  useEffect(() => {
    if (text.trim().length < 2) {
      setFound(null);
      setProblem('');
      return;
    }
    let current = true;
    const timer = window.setTimeout(() => {
      find(text).then(
        answer => {
          if (current) {
            setFound(answer);
            setActive(0);
            setProblem('');
          }
        },
        error => {
          if (current) {
            setFound(null);
            setProblem(messageOf(error));
          }
        }
      );
    }, PAUSE_MILLISECONDS);
    return () => {
      current = false;
      window.clearTimeout(timer);
    };
  }, [text, find]);

  const concepts = found?.concepts ?? [];

  function take(concept: IFoundConcept | undefined): void {
    if (concept !== undefined) {
      onTake(concept);
      setText('');
      setFound(null);
    }
  }

  function press(event: KeyboardEvent): void {
    const last = concepts.length - 1;
    switch (event.key) {
      case 'ArrowDown':
        setActive(Math.min(active + 1, Math.max(last, 0)));
        break;
      case 'ArrowUp':
        setActive(Math.max(active - 1, 0));
        break;
      case 'Enter':
        take(concepts[active] ?? typed(text));
        break;
      case 'Escape':
        setFound(null);
        break;
      default:
        return;
    }
    event.preventDefault();
  }

  return (
    <div className="jp-FlipSearch">
      <input
        className="jp-mod-styled"
        role="combobox"
        aria-label={props.label}
        aria-expanded={concepts.length > 0}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={
          concepts.length > 0 ? `${id}-${active}` : undefined
        }
        placeholder={trans.__('Concept: name, code or id')}
        value={text}
        onChange={event => setText(event.target.value)}
        onKeyDown={press}
        onBlur={() => setFound(null)}
      />
      {problem && (
        <p className="jp-FlipView-note" role="status">
          {problem}
        </p>
      )}
      <ul
        id={`${id}-list`}
        role="listbox"
        aria-label={trans.__('Concepts')}
        hidden={concepts.length === 0}
        className="jp-FlipSearch-list"
      >
        {concepts.map((concept, index) => (
          <li
            key={concept.concept_id}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === active}
            className="jp-FlipSearch-option"
            onPointerDown={event => {
              event.preventDefault();
              take(concept);
            }}
          >
            <span className="jp-FlipRow-name">{concept.name}</span>
            <span className="jp-FlipSearch-detail">
              {conceptDetail(trans, concept)}
            </span>
          </li>
        ))}
        {found !== null && found.total > concepts.length && (
          <li className="jp-FlipView-note" role="presentation">
            {trans.__('%1 of %2; type more', concepts.length, found.total)}
          </li>
        )}
      </ul>
    </div>
  );
}

function conceptDetail(
  trans: TranslationBundle,
  concept: IFoundConcept
): string {
  const parts = [concept.domain, `${concept.vocabulary} ${concept.code}`];
  if (concept.descendants !== null && concept.descendants > 1) {
    parts.push(trans.__('%1 below', concept.descendants - 1));
  }
  if (!concept.standard) {
    parts.push(trans.__('not standard'));
  }
  return parts.join(', ');
}

/**
 * A concept that is known by its id alone, where there is no vocabulary to look it up in.
 */
function typed(text: string): IFoundConcept | undefined {
  const number = Number(text.trim());
  return Number.isInteger(number) && number > 0
    ? {
        concept_id: number,
        name: `Concept ${number}`,
        domain: '',
        vocabulary: '',
        code: '',
        standard: true,
        descendants: null
      }
    : undefined;
}

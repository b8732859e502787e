import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { IFoundConcept, IMissingChartInput } from '../../contracts';
import type { CohortModel } from '../../models/cohort';
import { replaced } from '../../models/definition';
import { LinkButton } from '../parts/linkbutton';
import { ConceptSearch } from './conceptsearch';

/**
 * The records in which missing values are looked for.
 */
export type MissingSource = IMissingChartInput['source'];

/**
 * A concept of which a chart shows for how many people it is recorded.
 */
export interface IMissing {
  concept: number;
  name: string;
  source: MissingSource;
}

/**
 * Concepts whose missingness is charted by Trust: found like those of concept sets, each with where it is recorded.
 */
export function Missingness(props: {
  chosen: ReadonlyArray<IMissing>;
  find: CohortModel['findConcepts'];
  onChange: (chosen: IMissing[]) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { chosen, find, onChange, trans } = props;
  return (
    <details className="jp-FlipSet">
      <summary>
        {trans.__('Missing values')}{' '}
        <span className="jp-FlipView-note">
          {trans._n('%1 chart', '%1 charts', chosen.length)}
        </span>
      </summary>
      <ul className="jp-FlipSet-items">
        {chosen.map((one, index) => (
          <li key={one.concept} className="jp-FlipCriterion">
            <span className="jp-FlipRow-name">
              {one.name} <code>{one.concept}</code>
            </span>
            <select
              className="jp-mod-styled"
              aria-label={trans.__('%1: recorded as', one.name)}
              value={one.source}
              onChange={event =>
                onChange(
                  replaced(chosen, index, {
                    ...one,
                    source: event.target.value as MissingSource
                  })
                )
              }
            >
              <option value="measurement">{trans.__('measurement')}</option>
              <option value="observation">{trans.__('observation')}</option>
              <option value="condition">{trans.__('condition')}</option>
            </select>
            <LinkButton onClick={() => onChange(replaced(chosen, index, null))}>
              {trans.__('Remove Chart')}
            </LinkButton>
          </li>
        ))}
      </ul>
      <ConceptSearch
        label={trans.__('Chart for how many people a concept is missing')}
        find={find}
        trans={trans}
        onTake={found =>
          onChange([
            ...chosen.filter(one => one.concept !== found.concept_id),
            {
              concept: found.concept_id,
              name: found.name,
              source: sourceOf(found)
            }
          ])
        }
      />
    </details>
  );
}

/**
 * Where a concept's domain has its records.
 */
function sourceOf(concept: IFoundConcept): MissingSource {
  switch (concept.domain) {
    case 'Condition':
      return 'condition';
    case 'Observation':
      return 'observation';
    default:
      return 'measurement';
  }
}

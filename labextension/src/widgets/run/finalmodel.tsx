import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import type { IRoundSummary } from '../../contracts';
import { metric } from '../../models/wording';
import { LinkButton } from '../parts/linkbutton';
import { FigureCells, FigureHeads } from './figures';

/**
 * The evaluation of the final model, apart from the curves: it belongs to no round.
 */
export function FinalModel(props: {
  final: IRoundSummary;
  nameOf: (trust: string) => string;
  trans: TranslationBundle;
}): JSX.Element {
  const { final, nameOf, trans } = props;
  const [byTrust, setByTrust] = useState(false);
  const names = Object.keys(final.metrics);
  const trusts = Object.keys(final.trust_metrics).sort((a, b) =>
    nameOf(a).localeCompare(nameOf(b))
  );
  return (
    <section className="jp-FlipFinal" aria-label={trans.__('Final model')}>
      <h3>{trans.__('Final model')}</h3>
      <span className="jp-FlipView-note">
        {trans.__('evaluated once, after training:')}
      </span>
      {names.map(name => (
        <span key={name} className="jp-FlipFinal-number">
          {name} <strong>{metric(final.metrics[name])}</strong>
        </span>
      ))}
      {trusts.length > 0 && (
        <LinkButton
          aria-expanded={byTrust}
          onClick={() => setByTrust(!byTrust)}
        >
          {trans.__('By Trust')}
        </LinkButton>
      )}
      {byTrust && (
        <table className="jp-FlipTable">
          <thead>
            <tr>
              <th scope="col">{trans.__('Trust')}</th>
              <FigureHeads names={names} />
            </tr>
          </thead>
          <tbody>
            {final.members
              .map(key => [key, nameOf(key)])
              .sort((a, b) => a[1].localeCompare(b[1]))
              .map(([key, title]) => (
                <tr key={key}>
                  <th scope="row">{title}</th>
                  <FigureCells
                    names={names}
                    figures={final.trust_metrics[key]}
                    trans={trans}
                  />
                </tr>
              ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

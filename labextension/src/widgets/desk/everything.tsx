import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { IRequestDetail } from '../../contracts';
import { clock } from '../../models/wording';
import { Facts } from '../parts/facts';
import { Sentences } from './sentences';

/**
 * The bundle whole, as folded words and values.
 */
export function Everything(props: {
  detail: IRequestDetail;
  trans: TranslationBundle;
}): JSX.Element {
  const { detail, trans } = props;
  const { summary, content } = detail;
  const facts: [string, string][] = [
    [trans.__('Bundle'), summary.bundle],
    [trans.__('Key of the researcher'), summary.researcher_key],
    [trans.__('Your policy'), detail.policy_digest],
    [trans.__('Estate version'), detail.estate_version ?? trans.__('none yet')],
    [trans.__('Came'), clock(summary.received)],
    [trans.__('Valid'), trans.__('until %1', clock(content.expires))]
  ];
  return (
    <>
      {detail.brief.everything.map(section => (
        <details key={section.title} className="jp-FlipFold">
          <summary>{section.title}</summary>
          <Sentences sentences={section.sentences} />
        </details>
      ))}
      <details className="jp-FlipFold">
        <summary>{trans.__('Digests and dates')}</summary>
        <Facts facts={facts} />
      </details>
    </>
  );
}

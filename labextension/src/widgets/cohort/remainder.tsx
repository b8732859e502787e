import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import type { IRemainder } from '../../models/remainder';
import { LinkButton } from '../parts/linkbutton';

/**
 * What a file holds and the builder has no control for: that it is there, and on demand what it is and where.
 */
export function Remainder(props: {
  parts: ReadonlyArray<IRemainder>;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { parts, trans } = props;
  const [open, setOpen] = useState(false);
  return parts.length === 0 ? null : (
    <div className="jp-FlipBanner jp-mod-warn jp-FlipRemainder" role="note">
      <p>
        {trans._n(
          '%1 part of this file can’t be edited here. It is kept and counted.',
          '%1 parts of this file can’t be edited here. They are kept and counted.',
          parts.length
        )}{' '}
        <LinkButton aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? trans.__('Hide') : trans.__('Show')}
        </LinkButton>
      </p>
      {open && (
        <dl className="jp-FlipRemainder-parts">
          {parts.map((part, index) => (
            <div key={index}>
              <dt>{part.place}</dt>
              <dd>{part.text}</dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}

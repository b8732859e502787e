import type { JSX } from 'react';

import type { Named } from '../../models/naming';
import { runName, runPoint } from '../../models/naming';

/**
 * A run's name where there is little room: its title is shortened, what tells it from the others stays.
 */
export function RunName(props: { run: Named }): JSX.Element {
  const { run } = props;
  const point = runPoint(run);
  return (
    <span className="jp-FlipRunName" title={runName(run)}>
      <span className="jp-FlipRunName-title">{run.title}</span>
      {point && <span className="jp-FlipRunName-point">{` · ${point}`}</span>}
    </span>
  );
}

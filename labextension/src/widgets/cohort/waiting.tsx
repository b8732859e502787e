import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import type { CohortModel } from '../../models/cohort';

/**
 * How soon the Trusts answer; while they are asked, for how long already.
 */
export function Waiting(props: {
  model: CohortModel;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { model, trans } = props;
  const { answerSeconds, counting } = model;
  const waited = useSeconds(counting);
  if (answerSeconds === null) {
    return null;
  }
  const words = counting
    ? waited <= answerSeconds
      ? trans.__('answers in %1 s', answerSeconds)
      : trans.__('waits for its turn')
    : trans.__('answers in %1 s', answerSeconds);
  return (
    <span className="jp-FlipView-note">
      <span role="status">{words}</span>
      {counting && (
        <span aria-hidden="true">
          {', '}
          {trans.__('%1 s so far', waited)}
        </span>
      )}
    </span>
  );
}

/**
 * Whole seconds for which something has gone on.
 */
function useSeconds(goesOn: boolean): number {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    setSeconds(0);
    if (!goesOn) {
      return;
    }
    const timer = setInterval(() => setSeconds(before => before + 1), 1000);
    return () => clearInterval(timer);
  }, [goesOn]);
  return seconds;
}

import type { LabIcon } from '@jupyterlab/ui-components';
import {
  checkIcon,
  circleEmptyIcon,
  circleIcon,
  errorIcon,
  exceptionsIcon,
  lockIcon,
  notTrustedIcon,
  offlineBoltIcon,
  stopIcon,
  trustedIcon
} from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { RunState, TrustState } from '../../models/wording';

type Tone = 'running' | 'success' | 'warn' | 'error' | 'quiet';

const RUNS: { [state in RunState]: [LabIcon, Tone] } = {
  waiting: [lockIcon, 'quiet'],
  queued: [circleEmptyIcon, 'quiet'],
  starting: [circleEmptyIcon, 'running'],
  running: [circleIcon, 'running'],
  stopping: [stopIcon, 'warn'],
  succeeded: [checkIcon, 'success'],
  failed: [errorIcon, 'error'],
  stopped: [stopIcon, 'quiet']
};

const TRUSTS: { [state in TrustState]: [LabIcon, Tone] } = {
  notified: [offlineBoltIcon, 'quiet'],
  waiting: [lockIcon, 'quiet'],
  approved: [trustedIcon, 'success'],
  queued: [circleEmptyIcon, 'quiet'],
  declined: [notTrustedIcon, 'error'],
  refused: [notTrustedIcon, 'error'],
  starting: [circleEmptyIcon, 'running'],
  running: [circleIcon, 'running'],
  finished: [checkIcon, 'success'],
  failed: [errorIcon, 'error'],
  'left-out': [exceptionsIcon, 'warn'],
  stopped: [stopIcon, 'quiet']
};

/**
 * An icon in the colour of its meaning; the word beside it says the same, so it is hidden from screen readers.
 */
export function ToneIcon(props: { icon: LabIcon; tone: Tone }): JSX.Element {
  return (
    <span className={`jp-FlipState jp-mod-${props.tone}`} aria-hidden="true">
      <props.icon.react tag="span" width="14px" height="14px" />
    </span>
  );
}

/**
 * The icon for the state of a run.
 */
export function RunStateIcon(props: { state: RunState }): JSX.Element {
  const [icon, tone] = RUNS[props.state];
  return <ToneIcon icon={icon} tone={tone} />;
}

/**
 * The icon for the state of a Trust's part.
 */
export function TrustStateIcon(props: { state: TrustState }): JSX.Element {
  const [icon, tone] = TRUSTS[props.state];
  return <ToneIcon icon={icon} tone={tone} />;
}

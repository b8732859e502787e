import { circleIcon, offlineBoltIcon } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { IStudyTrust } from '../../contracts';
import type { IWorkbench } from '../../tokens';
import { ToneIcon } from '../parts/states';

/**
 * Whether a Trust is there, as far as that is known: without the hub nobody is.
 */
export function TrustDot(props: {
  trust: IStudyTrust;
  workbench: Pick<IWorkbench, 'away'>;
}): JSX.Element {
  const online = props.trust.online && props.workbench.away === null;
  return (
    <ToneIcon
      icon={online ? circleIcon : offlineBoltIcon}
      tone={online ? 'success' : 'quiet'}
    />
  );
}

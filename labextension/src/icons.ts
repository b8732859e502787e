import { LabIcon } from '@jupyterlab/ui-components';

import cohort from '../style/icons/cohort.svg';
import flip from '../style/icons/flip.svg';
import trust from '../style/icons/trust.svg';
import twin from '../style/icons/twin.svg';

export const flipIcon = new LabIcon({ name: 'flipnb:flip', svgstr: flip });
export const trustIcon = new LabIcon({ name: 'flipnb:trust', svgstr: trust });
export const cohortIcon = new LabIcon({
  name: 'flipnb:cohort',
  svgstr: cohort
});
export const twinIcon = new LabIcon({ name: 'flipnb:twin', svgstr: twin });

import { nullTranslator } from '@jupyterlab/translation/lib/base';
import type { JSX } from 'react';
import { createRoot } from 'react-dom/client';

import { KernelCohortModel } from '../models/cohortkernel';
import { BarFigure } from '../widgets/cohort/bartable';
import { CohortBuilder, UndoButtons } from '../widgets/cohort/builder';
import { LinkButton } from '../widgets/parts/linkbutton';
import { useSignal } from '../widgets/parts/signal';
import type { IWidgetModel } from './comm';
import { CommCohort } from './comm';

const trans = nullTranslator.load('flipnb');

/**
 * The widget of one Python object, as anywidget asks for it: all its views share one model.
 */
export default (): {
  initialize: (context: { model: IWidgetModel }) => () => void;
  render: (context: { el: HTMLElement }) => () => void;
} => {
  let model: KernelCohortModel;
  return {
    initialize: context => {
      const comm = new CommCohort(context.model);
      model = new KernelCohortModel(comm);
      return () => {
        model.dispose();
        comm.dispose();
      };
    },
    render: ({ el }) => {
      const host = document.createElement('div');
      host.className = 'jp-FlipCohort jp-FlipWidget';
      host.setAttribute('role', 'region');
      host.setAttribute('aria-label', trans.__('Cohort'));
      host.dataset.lmSuppressShortcuts = 'true';
      el.append(host);
      const root = createRoot(host);
      root.render(<KernelCohort model={model} />);
      return () => root.unmount();
    }
  };
};

function KernelCohort(props: { model: KernelCohortModel }): JSX.Element {
  const { model } = props;
  useSignal(model.changed);
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{model.definition.Title || trans.__('Cohort')}</h2>
        <span className="jp-FlipView-note" role="status">
          {stepWord(model)}
        </span>
        <span className="jp-FlipRun-actions">
          {model.studies.length > 1 && (
            <select
              className="jp-mod-styled"
              aria-label={trans.__('Study whose Trusts are asked')}
              value={model.study ?? ''}
              onChange={event => model.chooseStudy(event.target.value)}
            >
              {model.studies.map(study => (
                <option key={study}>{study}</option>
              ))}
            </select>
          )}
          <UndoButtons model={model} trans={trans} />
        </span>
      </div>
      <Stale model={model} />
      <CohortBuilder
        model={model}
        Chart={BarFigure}
        twinMark={<span>◇</span>}
        trans={trans}
      />
    </div>
  );
}

function stepWord(model: KernelCohortModel): string {
  if (model.waiting) {
    return trans.__('the kernel is busy');
  }
  return model.inStep
    ? trans.__('in step with Python, revision %1', model.revision)
    : trans.__('not in Python yet');
}

/**
 * Both the screen and Python changed: which of them holds is the person's choice.
 */
function Stale(props: { model: KernelCohortModel }): JSX.Element | null {
  const { model } = props;
  return model.staleSince === null ? null : (
    <p className="jp-FlipBanner jp-mod-warn" role="alert">
      {trans.__('Changed in %1:', model.staleSince)}{' '}
      <LinkButton onClick={() => model.reload()}>
        {trans.__('Reload')}
      </LinkButton>{' '}
      <LinkButton onClick={() => model.keepMine()}>
        {trans.__('Keep Mine')}
      </LinkButton>
    </p>
  );
}

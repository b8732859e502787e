import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import type { IStudyTemplate } from '../../contracts';
import type { NewNotebookModel } from '../../models/newnotebook';
import { nameOf } from '../../models/newnotebook';
import { ContactBanner } from '../parts/contactbanner';
import { Problem } from '../parts/problem';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';

/**
 * What the page of a new study notebook is made of. `make` makes the files, opens the notebook and rehearses it.
 */
export interface INewNotebookProps {
  model: NewNotebookModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
  make: () => void;
}

/**
 * From nothing to a rehearsal: one page, whose button makes the files.
 */
export class NewNotebookView extends Region<INewNotebookProps> {
  constructor(props: INewNotebookProps) {
    const look = {
      className: 'jp-FlipNewNotebook',
      label: props.trans.__('New Study Notebook')
    };
    super(NewNotebook, props, look, props.model);
  }

  /**
   * The name has the focus first.
   */
  protected override onActivateRequest(): void {
    void this.renderPromise?.then(() => {
      this.node.querySelector<HTMLElement>('input[name=name]')?.focus();
    });
  }
}

function NewNotebook(props: INewNotebookProps): JSX.Element {
  const { model, commands, trans, make } = props;
  useSignal(model.changed);
  const { templates, obstacle } = model;
  const chosen = templates?.find(found => found.name === model.template);
  return (
    <form
      className="jp-FlipView"
      onSubmit={event => {
        event.preventDefault();
        make();
      }}
    >
      <div className="jp-FlipView-header">
        <h2>{trans.__('New Study Notebook')}</h2>
        <span className="jp-FlipView-note">
          {model.folder
            ? trans.__('in %1', model.folder)
            : trans.__('in the top folder')}
        </span>
      </div>
      <ContactBanner
        workbench={model.workbench}
        commands={commands}
        trans={trans}
      />
      <Problem text={model.problem} />
      {templates?.length === 0 ? (
        <p>{trans.__('No templates are installed. Ask your administrator.')}</p>
      ) : (
        <Templates {...props} />
      )}
      <div className="jp-FlipNewNotebook-fields">
        <Name {...props} />
        <Study {...props} />
        <Cohort {...props} />
      </div>
      <dl className="jp-FlipNewNotebook-facts">
        <dt>{trans.__('Needs')}</dt>
        <dd>{chosen ? model.needs(chosen) : '-'}</dd>
        <dt>{trans.__('Makes')}</dt>
        <dd>{model.makes}</dd>
      </dl>
      <div className="jp-FlipView-footer">
        <span role="status" className="jp-FlipView-note">
          {obstacle}
        </span>
        <button
          type="submit"
          className="jp-mod-styled jp-mod-accept"
          disabled={model.isMaking || obstacle !== ''}
        >
          {model.isMaking
            ? trans.__('Making it…')
            : trans.__('Make and Rehearse')}
        </button>
      </div>
    </form>
  );
}

function Templates(props: INewNotebookProps): JSX.Element {
  const { model, trans } = props;
  const row = (template: IStudyTemplate): JSX.Element => {
    const unfit = model.unfit(template);
    return (
      <label key={template.name} className="jp-FlipNewNotebook-template">
        <input
          type="radio"
          name="template"
          value={template.name}
          checked={template.name === model.template}
          disabled={unfit !== ''}
          onChange={() => model.change({ template: template.name })}
        />
        <span>{template.title}</span>
        <span className="jp-FlipView-note">{unfit || template.says}</span>
      </label>
    );
  };
  return (
    <fieldset className="jp-FlipNewNotebook-templates">
      <legend>{trans.__('Template')}</legend>
      {model.templates?.map(row)}
    </fieldset>
  );
}

function Name(props: INewNotebookProps): JSX.Element {
  const { model, trans } = props;
  return (
    <label>
      {trans.__('Name')}
      <input
        className="jp-mod-styled"
        name="name"
        autoComplete="off"
        spellCheck={false}
        placeholder={trans.__('for example heart_risk')}
        value={model.name}
        onChange={event => model.change({ name: event.target.value })}
      />
    </label>
  );
}

function Study(props: INewNotebookProps): JSX.Element {
  const { model, commands, trans } = props;
  const { studies, study } = model.workbench;
  return (
    <label>
      {trans.__('Study')}
      <select
        className="jp-mod-styled"
        disabled={studies.length === 0}
        value={study?.study ?? ''}
        onChange={event =>
          void commands.execute(CommandIDs.chooseStudy, {
            study: event.target.value
          })
        }
      >
        {study === null && (
          <option value="">{trans.__('none, twin only')}</option>
        )}
        {studies.map(one => (
          <option key={one.study} value={one.study}>
            {one.study}
          </option>
        ))}
      </select>
    </label>
  );
}

function Cohort(props: INewNotebookProps): JSX.Element {
  const { model, trans } = props;
  return (
    <label>
      {trans.__('Cohort')}
      <select
        className="jp-mod-styled"
        value={model.cohort ?? ''}
        onChange={event => model.change({ cohort: event.target.value || null })}
      >
        <option value="">{trans.__('a new one')}</option>
        {model.cohorts.map(cohort => (
          <option key={cohort.path} value={nameOf(cohort.path)}>
            {cohort.name}
          </option>
        ))}
      </select>
    </label>
  );
}

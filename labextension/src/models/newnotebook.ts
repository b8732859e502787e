import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { ICohortFile, IMadeFiles, IStudyTemplate } from '../contracts';
import type { IWorkbench } from '../tokens';
import { messageOf } from './refusal';
import { clock } from './wording';

/**
 * A new study notebook before it is made: template, name, cohort. Everything else the notebook itself holds.
 */
export class NewNotebookModel {
  /**
   * `folder` is where the files are made, as the file browser names it; empty for the top.
   */
  constructor(
    readonly folder: string,
    readonly workbench: IWorkbench,
    private readonly _trans: TranslationBundle
  ) {
    workbench.changed.connect(this._onWorkbench, this);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /**
   * Null until the server has told them.
   */
  get templates(): ReadonlyArray<IStudyTemplate> | null {
    return this._templates;
  }

  /**
   * The template that is chosen, by its name; empty where none can be.
   */
  get template(): string {
    return this._template;
  }

  get name(): string {
    return this._name;
  }

  /**
   * The name of the cohort file that is used; null for a new one.
   */
  get cohort(): string | null {
    return this._cohort;
  }

  /**
   * The cohort files that a plan in this folder can name.
   */
  get cohorts(): ICohortFile[] {
    return this.workbench.cohorts.filter(
      cohort => folderOf(cohort.path) === this.folder
    );
  }

  get isMaking(): boolean {
    return this._isMaking;
  }

  /**
   * What went wrong last, for a person; empty where nothing did.
   */
  get problem(): string {
    return this._problem;
  }

  /**
   * What a template needs, and at how many Trusts of the study that is there.
   */
  needs(template: IStudyTemplate): string {
    const trans = this._trans;
    const needed = template.packages.join(', ');
    const { study, trusts, contact, heard } = this.workbench;
    if (study === null) {
      return needed;
    }
    const there = trans.__(
      '%1, at %2 of %3 Trusts',
      needed,
      this._holders(template),
      trusts.length
    );
    return contact.state !== 'online' && heard !== null
      ? trans.__('%1, packages as of %2', there, clock(heard.toISOString()))
      : there;
  }

  /**
   * Why a template can't be chosen, for a person; empty where it can.
   */
  unfit(template: IStudyTemplate): string {
    const { study, trusts } = this.workbench;
    const known = trusts.some(trust => trust.card !== null);
    return study !== null && known && this._holders(template) === 0
      ? this._trans.__(
          'needs %1; no Trust of %2 has it',
          template.packages.join(', '),
          study.study
        )
      : '';
  }

  /**
   * The files that will be made, shortly.
   */
  get makes(): string {
    const name = this._name || this._trans.__('NAME');
    return this._cohort === null
      ? this._trans.__('%1.ipynb, .flip.json, .cohort.json', name)
      : this._trans.__('%1.ipynb, .flip.json', name);
  }

  /**
   * Why it can't be made as it is, for a person; empty where it can.
   */
  get obstacle(): string {
    const trans = this._trans;
    if (this._templates === null) {
      return trans.__('Looking for templates…');
    }
    if (this._template === '') {
      return trans.__('No template can be used here.');
    }
    if (this._name === '') {
      return trans.__('It has no name yet.');
    }
    return /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(this._name)
      ? ''
      : trans.__('A name has letters, digits, - and _.');
  }

  async load(): Promise<void> {
    try {
      this._templates = await this.workbench.api.templates();
      this._problem = '';
    } catch (error) {
      this._problem = messageOf(error);
    }
    this._choose();
    this._changed.emit();
  }

  change(
    change: Partial<{ template: string; name: string; cohort: string | null }>
  ): void {
    this._template = change.template ?? this._template;
    this._name = change.name ?? this._name;
    if (change.cohort !== undefined) {
      this._cohort = change.cohort;
    }
    this._problem = '';
    this._changed.emit();
  }

  /**
   * Make the files; null, and a problem that says why, where none were made.
   */
  async make(): Promise<IMadeFiles | null> {
    if (this._isMaking || this.obstacle) {
      return null;
    }
    this._isMaking = true;
    this._problem = '';
    this._changed.emit();
    try {
      const made = await this.workbench.api.makeNotebook({
        name: this._name,
        template: this._template,
        folder: this.folder,
        cohort: this._cohort
      });
      void this.workbench.refreshCohorts();
      return made;
    } catch (error) {
      this._problem = messageOf(error);
      return null;
    } finally {
      this._isMaking = false;
      this._changed.emit();
    }
  }

  dispose(): void {
    Signal.clearData(this);
  }

  /**
   * How many Trusts have an environment with all that a template imports.
   */
  private _holders(template: IStudyTemplate): number {
    return this.workbench.trusts.filter(trust =>
      trust.card?.environments.some(environment =>
        template.packages.every(name =>
          environment.distributions.includes(name)
        )
      )
    ).length;
  }

  /**
   * The first template that fits, unless the chosen one does.
   */
  private _choose(): void {
    const fitting = (this._templates ?? []).filter(
      template => this.unfit(template) === ''
    );
    if (!fitting.some(template => template.name === this._template)) {
      this._template = fitting[0]?.name ?? '';
    }
    if (!this.cohorts.some(file => nameOf(file.path) === this._cohort)) {
      this._cohort = null;
    }
  }

  private _onWorkbench(): void {
    this._choose();
    this._changed.emit();
  }

  private _templates: IStudyTemplate[] | null = null;
  private _template = '';
  private _name = '';
  private _cohort: string | null = null;
  private _isMaking = false;
  private _problem = '';
  private readonly _changed = new Signal<this, void>(this);
}

function folderOf(path: string): string {
  return path.split('/').slice(0, -1).join('/');
}

/**
 * The last part of a path.
 */
export function nameOf(path: string): string {
  return path.split('/').pop() ?? path;
}

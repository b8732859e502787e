import type { ISignal } from '@lumino/signaling';

import type {
  ICohortCheck,
  ICohortDefinition,
  IFoundConcepts,
  IQuestion,
  ITrustAnswers
} from '../contracts';
import type { IWorkbench } from '../tokens';
import type { ICohortSource } from './cohort';
import { CohortModel } from './cohort';
import type { ICohortState } from './cohortstate';
import { stateOf } from './cohortstate';
import type { IDefinition } from './definition';
import { FlipRefusal, messageOf } from './refusal';

/**
 * What a draft keeps in the browser: definitions, never counts.
 */
export interface IDraft extends ICohortState {
  path: string | null;
  version: string | null;
}

/**
 * A cohort under edit in JupyterLab: a file beside the notebooks, checked and counted by the server extension.
 */
export class CohortFileModel extends CohortModel {
  constructor(
    readonly workbench: IWorkbench,
    private readonly _keepDraft: (draft: IDraft) => void
  ) {
    super(new ServerSource(workbench, () => this._path));
  }

  get path(): string | null {
    return this._path;
  }

  /**
   * Whether the file differs from what is shown.
   */
  get dirty(): boolean {
    return JSON.stringify(this.expression) !== this._saved;
  }

  /**
   * Show the file at `path`. Throws what the server says where it can't be read.
   */
  async open(path: string): Promise<void> {
    const read = await this.workbench.api.readDefinition(path);
    this._place(read);
    this.forget();
    this.state = stateOf(read.expression as unknown as IDefinition);
    this._saved = JSON.stringify(this.expression);
    this.schedule();
    this.changedNow();
  }

  restore(draft: IDraft): void {
    this._place(draft);
    this._saved = '';
    this.show({ definition: draft.definition, rules: draft.rules });
  }

  /**
   * Save under `path`, or where it was read from. False where the file was changed elsewhere.
   */
  async save(path = this._path, over = false): Promise<boolean> {
    if (path === null) {
      return false;
    }
    const { api } = this.workbench;
    const base = path === this._path ? this._version : null;
    const expression = this.expression as { [name: string]: unknown };
    try {
      const version = over ? (await api.readDefinition(path)).version : base;
      this._place(
        await api.saveDefinition({ path, expression, base: version })
      );
      this._saved = JSON.stringify(this.expression);
      this._keep();
      this.say('');
      return true;
    } catch (error) {
      if (
        error instanceof FlipRefusal &&
        error.reason === 'changed-elsewhere'
      ) {
        this.changedNow();
        return false;
      }
      this.say(messageOf(error));
      return true;
    }
  }

  protected override show(state: ICohortState): void {
    super.show(state);
    this._keep();
  }

  private _place(
    at: Pick<ICohortDefinition, 'path' | 'version'> | IDraft
  ): void {
    this._path = at.path;
    this._version = at.version;
  }

  private _keep(): void {
    this._keepDraft({
      ...this.state,
      path: this._path,
      version: this._version
    });
  }

  private _path: string | null = null;
  private _version: string | null = null;
  private _saved = '';
}

class ServerSource implements ICohortSource {
  constructor(
    private readonly _workbench: IWorkbench,
    private readonly _path: () => string | null
  ) {}

  get changed(): ISignal<unknown, unknown> {
    return this._workbench.changed;
  }

  get study(): string | null {
    return this._workbench.study?.study ?? null;
  }

  get online(): boolean {
    return this._workbench.contact.state === 'online';
  }

  get away(): string | null {
    return this._workbench.away;
  }

  check(question: IQuestion): Promise<ICohortCheck> {
    return this._workbench.api.checkDefinition({
      question,
      path: this._path(),
      study: this.study
    });
  }

  ask(study: string, question: IQuestion): Promise<ITrustAnswers> {
    return this._workbench.api.askTrusts(study, question);
  }

  findConcepts(text: string): Promise<IFoundConcepts> {
    return this._workbench.api.findConcepts(text);
  }
}

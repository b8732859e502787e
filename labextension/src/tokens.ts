import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { FlipApi } from './api';
import type {
  IApprovalPage,
  IAuditCheck,
  IAuditEntries,
  IAuditLines,
  IAuditPage,
  ICohortFile,
  IDeskRun,
  IDeskStatus,
  IHeldImage,
  IHeldImages,
  IHeldPicture,
  IHubContact,
  IImageMark,
  IOpening,
  IRequestDetail,
  IRequestSummary,
  IRunView,
  IShownNotebook,
  IStudy,
  IStudyTrust
} from './contracts';
import type { RunHistory } from './models/history';

/**
 * What all of FLIP's screens share: the studies, the chosen one, its runs, and how the hub can be reached.
 */
export interface IWorkbench {
  readonly api: FlipApi;
  /**
   * Anything below has changed.
   */
  readonly changed: ISignal<IWorkbench, void>;
  /**
   * A run of the chosen study has changed, or is new.
   */
  readonly runChanged: ISignal<IWorkbench, IRunView>;
  /**
   * False until the first answer of the server extension.
   */
  readonly ready: boolean;
  readonly contact: IHubContact;
  /**
   * Since when the hub, or the Jupyter server before it, can't be asked; null where it can.
   */
  readonly away: string | null;
  /**
   * When the lists were last known to be right.
   */
  readonly heard: Date | null;
  /**
   * Why the lists could not be fetched, for a person; empty where they could.
   */
  readonly problem: string;
  readonly researcher: string | null;
  readonly studies: ReadonlyArray<IStudy>;
  readonly study: IStudy | null;
  /**
   * The chosen study's Trusts, in the order of its roster.
   */
  readonly trusts: ReadonlyArray<IStudyTrust>;
  /**
   * Cohort files below the folder that Lab shows.
   */
  readonly cohorts: ReadonlyArray<ICohortFile>;
  /**
   * The chosen study's runs, the newest first.
   */
  readonly runs: ReadonlyArray<IRunView>;

  choose(study: string): void;
  refresh(): Promise<void>;
  /**
   * Fetch the cohort files again: one was made, renamed or deleted.
   */
  refreshCohorts(): Promise<void>;
  /**
   * Try to reach the hub now instead of at the end of the pause.
   */
  tryNow(): Promise<void>;
  /**
   * A run by its id; fetched where it is not among the runs.
   */
  run(run: string): Promise<IRunView>;
  /**
   * A run's events from its beginning on, kept up to date until it is disposed.
   */
  history(run: string): RunHistory;
  /**
   * Take on a run as the server has just told it.
   */
  update(run: IRunView): void;
  /**
   * The title of a Trust by its key, else its name.
   */
  trustTitle(key: string): string;
}

/**
 * The token by which plugins ask for the workbench.
 */
export const IWorkbench = new Token<IWorkbench>(
  'flipnb:IWorkbench',
  'What all screens of FLIP share: studies, runs and the contact with the hub.'
);

/**
 * The desk of this Trust's data controller, where JupyterLab runs in an enclave.
 */
export interface IDesk {
  readonly changed: ISignal<IDesk, void>;
  /**
   * After `changed`, where a request came or was decided, or used up a part of its approvals; not at a run's progress.
   */
  readonly requestsChanged: ISignal<IDesk, void>;
  /**
   * Null where there is no desk here, or nothing is known yet.
   */
  readonly status: IDeskStatus | null;
  /**
   * Every request that ever came, the newest first.
   */
  readonly requests: ReadonlyArray<IRequestSummary>;
  readonly runs: ReadonlyArray<IDeskRun>;
  /**
   * Why the lists could not be fetched, for a person; empty where they could.
   */
  readonly problem: string;

  refresh(): Promise<void>;
  detail(bundle: string): Promise<IRequestDetail>;
  /**
   * The agent's own page for approving this request; opened by the person, never by a script.
   */
  approvalPage(bundle: string): Promise<IApprovalPage>;
  /**
   * Who of the data controllers decides at this screen, by name; empty where several could, and nobody has said.
   * Kept in memory alone.
   */
  person: string;
  /**
   * A data controller has had a part of a request before them; the agent keeps it.
   */
  noteOpened(
    bundle: string,
    controller: string,
    part: IOpening['part']
  ): Promise<void>;
  decline(bundle: string, reason: string): Promise<void>;
  stop(run: string): Promise<void>;
  executed(run: string): Promise<IShownNotebook>;
  /**
   * A page of the images that are held back: those behind the image `after`, the first for an empty one.
   */
  heldImages(after: string): Promise<IHeldImages>;
  heldPicture(image: string, frame: number): Promise<IHeldPicture>;
  /**
   * Release, cover or refuse an image, or take that back; the image as it is then.
   */
  decideImage(image: string, mark: IImageMark): Promise<IHeldImage>;
  audit(after: number): Promise<IAuditPage>;
  /**
   * The newest lines of the log in plain words, a run in one of them.
   */
  auditLines(group: string): Promise<IAuditLines>;
  auditEntries(line: string): Promise<IAuditEntries>;
  /**
   * Have the agent read its whole audit log again.
   */
  checkAudit(): Promise<IAuditCheck>;
}

/**
 * The token by which plugins ask for the desk.
 */
export const IDesk = new Token<IDesk>(
  'flipnb:IDesk',
  "The desk of this Trust's data controller: requests, runs here, what left."
);

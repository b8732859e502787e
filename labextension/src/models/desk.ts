import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { FlipApi } from '../api';
import { messageOf } from '../api';
import type {
  IApprovalPage,
  IAuditCheck,
  IAuditEntries,
  IAuditLines,
  IAuditPage,
  IDeskChange,
  IDeskRun,
  IDeskStatus,
  IEvents,
  IHeldImage,
  IHeldImages,
  IHeldPicture,
  IImageMark,
  IOpening,
  IRequestDetail,
  IRequestSummary,
  IShownNotebook
} from '../contracts';
import type { IDesk } from '../tokens';

const DESK_EVENT: keyof IEvents = 'https://schema.jupyter.org/flipnb/desk/v1';

/**
 * The desk of this Trust's data controller. It fetches lists once, and again whenever the agent says that all is not
 * as it was. Nothing of it is ever written to the browser's storage.
 */
export class Desk implements IDesk {
  constructor(private readonly _api: FlipApi) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get requestsChanged(): ISignal<this, void> {
    return this._requestsChanged;
  }

  get status(): IDeskStatus | null {
    return this._status;
  }

  get requests(): ReadonlyArray<IRequestSummary> {
    return this._requests;
  }

  get runs(): ReadonlyArray<IDeskRun> {
    return this._runs;
  }

  get problem(): string {
    return this._problem;
  }

  /**
   * Find out whether there is a desk here; resolves to whether there is.
   */
  async begin(): Promise<boolean> {
    await this.refresh();
    return this._status !== null || this._problem !== '';
  }

  /**
   * Fetch all lists; calls while one is under way ask for another one after it.
   */
  refresh(): Promise<void> {
    this._requestsStale = true;
    return this._refresh();
  }

  detail(bundle: string): Promise<IRequestDetail> {
    return this._api.request(bundle);
  }

  approvalPage(bundle: string): Promise<IApprovalPage> {
    return this._api.approvalPage(bundle);
  }

  get person(): string {
    const known = this._status?.controllers ?? [];
    return known.length === 1 ? known[0] : this._person;
  }

  set person(name: string) {
    this._person = name;
    this._changed.emit();
  }

  noteOpened(
    bundle: string,
    controller: string,
    part: IOpening['part']
  ): Promise<void> {
    return this._api.noteOpened(bundle, controller, part);
  }

  async decline(bundle: string, reason: string): Promise<void> {
    await this._api.decline(bundle, reason);
    await this.refresh();
  }

  async stop(run: string): Promise<void> {
    await this._api.stopHere(run);
    await this.refresh();
  }

  executed(run: string): Promise<IShownNotebook> {
    return this._api.executed(run);
  }

  heldImages(after: string): Promise<IHeldImages> {
    return this._api.heldImages(after);
  }

  heldPicture(image: string, frame: number): Promise<IHeldPicture> {
    return this._api.heldPicture(image, frame);
  }

  decideImage(image: string, mark: IImageMark): Promise<IHeldImage> {
    return this._api.decideImage(image, mark);
  }

  audit(after: number): Promise<IAuditPage> {
    return this._api.audit(after);
  }

  auditLines(group: string): Promise<IAuditLines> {
    return this._api.auditLines(group);
  }

  auditEntries(line: string): Promise<IAuditEntries> {
    return this._api.auditEntries(line);
  }

  checkAudit(): Promise<IAuditCheck> {
    return this._api.checkAudit();
  }

  /**
   * Take an event of the Jupyter server on; those of others are ignored.
   */
  take(schema: string, data: unknown): void {
    if (schema === DESK_EVENT) {
      const { agent, requests } = data as IDeskChange;
      if (!agent || requests !== this._requestsRevision) {
        this._requestsStale = true;
      }
      this._requestsRevision = requests;
      void this._refresh();
    }
  }

  /**
   * Fetch what moves all the time, and the requests where they are not as they were.
   */
  private async _refresh(): Promise<void> {
    if (this._fetching) {
      this._stale = true;
      return;
    }
    this._fetching = true;
    let fetchedRequests = false;
    do {
      this._stale = false;
      const withRequests = this._requestsStale;
      this._requestsStale = false;
      fetchedRequests ||= withRequests;
      await this._fetch(withRequests);
    } while (this._stale);
    this._fetching = false;
    this._changed.emit();
    if (fetchedRequests) {
      this._requestsChanged.emit();
    }
  }

  private async _fetch(withRequests: boolean): Promise<void> {
    try {
      const { status } = await this._api.desk();
      if (status !== null) {
        const [requests, runs] = await Promise.all([
          withRequests ? this._api.requests() : this._requests,
          this._api.deskRuns()
        ]);
        this._requests = requests;
        this._runs = runs;
      }
      this._status = status;
      this._problem = '';
    } catch (error) {
      this._problem = messageOf(error);
      this._requestsStale ||= withRequests;
    }
  }

  private _person = '';
  private _status: IDeskStatus | null = null;
  private _requests: IRequestSummary[] = [];
  private _runs: IDeskRun[] = [];
  private _problem = '';
  private _requestsRevision = '';
  private _requestsStale = false;
  private _fetching = false;
  private _stale = false;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _requestsChanged = new Signal<this, void>(this);
}

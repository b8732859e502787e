import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  IApprovalPage,
  IAuditCheck,
  IAuditEntries,
  IAuditLines,
  IAuditPage,
  IBundle,
  IBundlePreview,
  IBundleRequest,
  ICheckReport,
  ICheckRequest,
  ICohortCheck,
  ICohortDefinition,
  ICohortFile,
  IDeskHere,
  IDeskRun,
  IDraftCohort,
  IEndpoints,
  IFoundConcepts,
  IHeldImage,
  IHeldImages,
  IHeldPicture,
  IHubContact,
  IImageMark,
  IKnownStrategy,
  ILabStatus,
  IMadeFiles,
  INewNotebook,
  IOpening,
  IQuestion,
  IReceipt,
  IRehearsalTold,
  IRequestDetail,
  IRequestSummary,
  IRunAgain,
  IRunEvent,
  IRunRecord,
  IRunResults,
  IRunView,
  ISavedCohort,
  IShapeCheck,
  IShownNotebook,
  IStudy,
  IStudyTemplate,
  IStudyTrust,
  ITextFault,
  ITextToCheck,
  ITrustAnswers
} from './contracts';
import { FlipRefusal, messageOf } from './models/refusal';

export { FlipRefusal, messageOf };

interface IInput<K extends keyof IEndpoints> {
  path?: IEndpoints[K]['path'];
  query?: IEndpoints[K]['query'];
  body?: IEndpoints[K]['body'];
}

/**
 * The server extension, one method for each endpoint. Widgets never call it: models do.
 */
export class FlipApi {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  status(): Promise<ILabStatus> {
    return this._call('GET status', {});
  }

  tryHub(): Promise<IHubContact> {
    return this._call('POST hub/tries', {});
  }

  async studies(): Promise<IStudy[]> {
    return (await this._call('GET studies', {})).studies;
  }

  async trusts(study: string): Promise<IStudyTrust[]> {
    const input = { path: { study } };
    return (await this._call('GET studies/{study}/trusts', input)).trusts;
  }

  async cohorts(): Promise<ICohortFile[]> {
    return (await this._call('GET cohorts', {})).cohorts;
  }

  /**
   * All runs of a study, the newest first, page by page.
   */
  async runs(study: string): Promise<IRunView[]> {
    const found: IRunView[] = [];
    const met = new Set<string>();
    let query: { after?: string } = {};
    for (;;) {
      const input = { path: { study }, query };
      const page = await this._call('GET studies/{study}/runs', input);
      found.push(...page.runs);
      if (page.next === null) {
        return found;
      }
      if (met.has(page.next)) {
        throw new Error('The hub’s list of runs leads back to its own pages.');
      }
      met.add(page.next);
      query = { after: page.next };
    }
  }

  run(run: string): Promise<IRunView> {
    return this._call('GET runs/{run}', { path: { run } });
  }

  async runEvents(run: string, after: number): Promise<IRunEvent[]> {
    const input = { path: { run }, query: { after } };
    return (await this._call('GET runs/{run}/events', input)).events;
  }

  stopRun(run: string): Promise<IRunView> {
    return this._call('POST runs/{run}/stop', { path: { run } });
  }

  check(body: ICheckRequest): Promise<ICheckReport> {
    return this._call('POST notebooks/checks', { body });
  }

  async strategies(): Promise<IKnownStrategy[]> {
    return (await this._call('GET strategies', {})).strategies;
  }

  async checkText(body: ITextToCheck): Promise<ITextFault[]> {
    return (await this._call('POST texts/checks', { body })).faults;
  }

  /**
   * The JSON Schema of plan files or cohorts.
   */
  async schema(kind: ITextToCheck['kind']): Promise<object> {
    const input = { path: { kind } };
    return (await this._call('GET texts/schemas/{kind}', input)).content;
  }

  rehearsal(path: string): Promise<IRehearsalTold> {
    return this._call('GET notebooks/rehearsal', { query: { path } });
  }

  /**
   * Put the notebook as its last rehearsal ran it beside it; returns its path.
   */
  async executedRehearsal(path: string): Promise<string> {
    return (await this._call('POST notebooks/executed', { body: { path } }))
      .path;
  }

  async templates(): Promise<IStudyTemplate[]> {
    return (await this._call('GET templates', {})).templates;
  }

  makeNotebook(body: INewNotebook): Promise<IMadeFiles> {
    return this._call('POST templates/notebooks', { body });
  }

  makePlan(path: string): Promise<IMadeFiles> {
    return this._call('POST templates/plans', { body: { path } });
  }

  prepareBundle(body: IBundleRequest): Promise<IBundlePreview> {
    return this._call('POST bundles', { body });
  }

  sendBundle(bundle: string): Promise<IReceipt> {
    return this._call('POST bundles/{bundle}/sending', { path: { bundle } });
  }

  checkShapes(bundle: string): Promise<IShapeCheck> {
    return this._call('POST bundles/{bundle}/shapes', { path: { bundle } });
  }

  bundle(bundle: string): Promise<IBundle> {
    return this._call('GET bundles/{bundle}', { path: { bundle } });
  }

  runAgain(bundle: string, body: IRunAgain): Promise<IRunView> {
    const input = { path: { bundle }, body };
    return this._call('POST bundles/{bundle}/runs', input);
  }

  findConcepts(text: string): Promise<IFoundConcepts> {
    return this._call('GET concepts', { query: { text } });
  }

  readDefinition(path: string): Promise<ICohortDefinition> {
    return this._call('GET cohorts/definition', { query: { path } });
  }

  saveDefinition(body: ISavedCohort): Promise<ICohortDefinition> {
    return this._call('PUT cohorts/definition', { body });
  }

  checkDefinition(body: IDraftCohort): Promise<ICohortCheck> {
    return this._call('POST cohorts/checks', { body });
  }

  askTrusts(study: string, body: IQuestion): Promise<ITrustAnswers> {
    return this._call('POST studies/{study}/counts', { path: { study }, body });
  }

  fetchResults(run: string): Promise<IRunResults> {
    return this._call('POST runs/{run}/results', { path: { run } });
  }

  async resultsNotebook(run: string): Promise<string> {
    const input = { path: { run } };
    return (await this._call('POST runs/{run}/notebook', input)).path;
  }

  record(run: string): Promise<IRunRecord> {
    return this._call('GET runs/{run}/record', { path: { run } });
  }

  desk(): Promise<IDeskHere> {
    return this._call('GET desk', {});
  }

  async requests(): Promise<IRequestSummary[]> {
    const input = { query: { decided: true } };
    return (await this._call('GET desk/requests', input)).requests;
  }

  request(bundle: string): Promise<IRequestDetail> {
    return this._call('GET desk/requests/{bundle}', { path: { bundle } });
  }

  async noteOpened(
    bundle: string,
    controller: string,
    part: IOpening['part']
  ): Promise<void> {
    await this._call('POST desk/requests/{bundle}/opened', {
      path: { bundle },
      body: { controller, part }
    });
  }

  approvalPage(bundle: string): Promise<IApprovalPage> {
    return this._call('POST desk/requests/{bundle}/page', { path: { bundle } });
  }

  async decline(bundle: string, reason: string): Promise<void> {
    await this._call('POST desk/requests/{bundle}/decline', {
      path: { bundle },
      body: { reason }
    });
  }

  async deskRuns(): Promise<IDeskRun[]> {
    return (await this._call('GET desk/runs', {})).runs;
  }

  async stopHere(run: string): Promise<void> {
    await this._call('POST desk/runs/{run}/stop', { path: { run } });
  }

  executed(run: string): Promise<IShownNotebook> {
    return this._call('GET desk/runs/{run}/notebook', { path: { run } });
  }

  audit(after: number): Promise<IAuditPage> {
    return this._call('GET desk/audit', { query: { after } });
  }

  auditLines(group: string): Promise<IAuditLines> {
    return this._call('GET desk/audit/lines', { query: { group } });
  }

  auditEntries(line: string): Promise<IAuditEntries> {
    return this._call('GET desk/audit/lines/{line}', { path: { line } });
  }

  heldImages(after: string): Promise<IHeldImages> {
    return this._call('GET desk/images', { query: { after } });
  }

  heldPicture(image: string, frame: number): Promise<IHeldPicture> {
    return this._call('GET desk/images/{image}/picture', {
      path: { image },
      query: { frame }
    });
  }

  decideImage(image: string, body: IImageMark): Promise<IHeldImage> {
    return this._call('POST desk/images/{image}/decision', {
      path: { image },
      body
    });
  }

  checkAudit(): Promise<IAuditCheck> {
    return this._call('GET desk/audit/check', {});
  }

  private async _call<K extends keyof IEndpoints>(
    endpoint: K,
    input: IInput<K>
  ): Promise<IEndpoints[K]['answer']> {
    const [method, template] = endpoint.split(' ');
    const path = template.replace(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(
        String((input.path as { [name: string]: unknown })[name])
      )
    );
    const query = new URLSearchParams(
      Object.entries(input.query ?? {})
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => [name, String(value)])
    ).toString();
    const url =
      URLExt.join(this._settings.baseUrl, 'flipnb', path) +
      (query ? `?${query}` : '');
    const body =
      input.body === undefined ? undefined : JSON.stringify(input.body);
    const response = await ServerConnection.makeRequest(
      url,
      { method, body },
      this._settings
    );
    const text = await response.text();
    if (!response.ok) {
      throw refusalOf(response.status, text);
    }
    return JSON.parse(text) as IEndpoints[K]['answer'];
  }
}

function refusalOf(status: number, text: string): FlipRefusal {
  try {
    const said = JSON.parse(text);
    return new FlipRefusal(
      String(said.message),
      String(said.reason),
      String(said.remedy ?? ''),
      status
    );
  } catch {
    return new FlipRefusal(
      `The Jupyter server answered with status ${status}.`,
      'server-error',
      '',
      status
    );
  }
}

// Written by `python -m flipnb.lab.openapi`; change the contracts in Python, not this file.

/** The version that the server extension must have. */
export const VERSION = '0.1.0';

/** Age in years at the cohort's start, in bands of ``width`` years; the last is 90 and more. */
export interface IAgeChartInput {
  by?: 'age';
  width?: 5 | 10 | 15 | 30;
}

/** Age in years at the cohort's start, in bands of ``width`` years; the last is 90 and more. */
export interface IAgeChartOutput {
  by: 'age';
  width: 5 | 10 | 15 | 30;
}

/**
 * What the Trust's policy allows at all; a person still decides on every bundle.
 *
 * ``attached_bytes``: of the files beside a notebook, together; 0 at earlier agents, which take none.
 */
export interface IAllowance {
  per_trust_metrics: boolean;
  individual_updates: boolean;
  minimum_trusts: number;
  one_trust_runs: boolean;
  minimum_train: number;
  maximum_clip_norm: number;
  maximum_integer_clip: number;
  maximum_rounds: number;
  bits_per_run: number;
  attached_bytes: number;
}

/** POST /requests/{digest}/page: where the controller approves; for this request, once, until ``expires``. */
export interface IApprovalPage {
  url: string;
  expires: string;
}

/** A file beside the notebook, by digest; it lies read-only under ``/bundle/NAME`` in the kernel. */
export interface IAttachedFile {
  name: string;
  sha256: string;
  size: number;
}

/** GET /audit/check: the log was read again, whole. ``problem`` says what is wrong; None where nothing is. */
export interface IAuditCheck {
  size: number;
  checked: string;
  problem: string | null;
}

/** GET /audit/lines/{key}: the entries of one line, the newest first. */
export interface IAuditEntries {
  entries: IAuditTold[];
}

/**
 * One line of the audit log in plain words: an entry, all of ``run``, or all that told a study its budget in a day;
 * the last of them ``at``.
 */
export interface IAuditLine {
  key: string;
  at: string;
  text: string;
  entries: number;
  run: string | null;
}

/**
 * GET /audit/lines?group=G: the newest lines of a group, the newest first. ``numbers`` are lines by group; ``size``
 * and ``head`` are the log's own, in entries.
 */
export interface IAuditLines {
  lines: IAuditLine[];
  numbers: { [name: string]: number };
  size: number;
  head: string;
}

/** GET /audit?after=N: entries from N on as canonical JSON text, and the tree head (RFC 6962) over all ``size``. */
export interface IAuditPage {
  entries: string[];
  size: number;
  head: string;
}

/** An entry in plain words, and its ``leaf``, the canonical JSON that was written. */
export interface IAuditTold {
  index: number;
  at: string;
  text: string;
  leaf: string;
}

/** ``people`` is noisy and rounded; None where it is suppressed. */
export interface IBar {
  label: string;
  people: number | null;
}

/**
 * A request on one page.
 *
 * ``who`` and ``why`` are the study's own words, ``people`` the cohort in one sentence, with all of it as its parts.
 * ``since`` is what differs from the last approval, ``sees`` the variables (those with a warning first) and ``beside``
 * what else a notebook sees. ``leaves`` has every channel of code, ``caution`` what no check can prevent, ``flags``
 * what deserves a second look, ``waiting`` the runs that wait. ``everything`` is the whole bundle, part by part.
 */
export interface IBrief {
  who: ISentence[];
  why: string;
  people: ISentence;
  since: ISentence[];
  sees: ISeenVariable[];
  beside: ISentence[];
  training: ISentence[];
  leaves: ILeaving[];
  caution: string;
  flags: string[];
  waiting: string;
  everything: ISection[];
}

/**
 * What the question cost, and what is left at this Trust for this study, of ``of`` in ``days`` days.
 *
 * ``renews`` is when the next part of what was spent comes back.
 */
export interface IBudget {
  cost: number;
  left: number;
  of: number;
  days: number;
  renews: string | null;
}

/**
 * An environment that the Trust built offline, and the distributions that its lock names.
 *
 * ``releases`` are the versions of those whose version the lock names; empty in the cards of earlier agents.
 */
export interface IBuiltEnvironment {
  name: string;
  lock: string;
  distributions: string[];
  releases: { [name: string]: string };
}

/**
 * Everything that decides what runs. Stored as bytes, named by their SHA-256, signed by the researcher.
 *
 * ``notebook_name`` is the file's name at the researcher's, for people alone; empty in earlier bundles. ``parameters``
 * and ``choosable`` are the space of which each run is one point; ``at`` gives what a run with some choices is made
 * by.
 */
export interface IBundle {
  version: 'flip/bundle/1';
  study: string;
  title: string;
  membership: string;
  trusts: string[];
  minimum_trusts: number;
  notebook: IFrozenNotebook;
  notebook_name: string;
  files: IAttachedFile[];
  parameters: IParameter[];
  cohort: { [name: string]: unknown };
  dataset: IDataset;
  split: ISplit;
  plan: IPlanOutput;
  tensors: ITensorSpec;
  initial_weights: string;
  outputs: IDeclaredOutput[];
  totals: ITotalStep[];
  environment: IEnvironment;
  choosable: IChoosable;
  not_before: string;
  expires: string;
}

/**
 * The exact bundle that will be signed; ``size`` in bytes of its canonical JSON.
 *
 * ``executions_left``: where it was sent before, how many runs each Trust (by key) has approved and not used.
 * ``files`` go with it, as a Trust will be shown them.
 */
export interface IBundlePreview {
  bundle: string;
  size: number;
  points: ({ [name: string]: boolean | number | string })[];
  choices: IChoicesOutput[];
  executions_left: { [name: string]: number };
  files: IShownFile[];
  content: IBundle;
}

/**
 * What the form says. ``points`` are the runs: one, or a sweep; of several ``seeds``, a run for each at each
 * point.
 */
export interface IBundleRequest {
  path: string;
  study: string;
  title: string;
  plan: IPlanInput;
  seeds: number[];
  trusts: string[];
  minimum_trusts: number;
  points: ({ [name: string]: boolean | number | string })[];
}

/** One concept that a coded variable may have as its value. */
export interface ICategory {
  concept_id: number;
  label: string;
}

/** One cell as it is approved: lines end in a line feed, and no output is with it. */
export interface ICell {
  id: string;
  type: 'code' | 'markdown' | 'raw';
  source: string;
  tags: ('parameters' | 'skip-execution')[];
}

/** A cell of the notebook against the cell with its id in the earlier one; ``number`` counts from 1 in its own. */
export interface ICellChange {
  id: string;
  number: number;
  type: 'code' | 'markdown' | 'raw';
  kind: 'same' | 'changed' | 'added' | 'removed';
  lines: IChangedLine[];
}

/** One line of a cell's source; ``mark`` says in which version it is: both, the new one, the earlier one. */
export interface IChangedLine {
  mark: 'both' | 'new' | 'earlier';
  text: string;
}

/**
 * A bundle against ``since``, the last one of its study that was approved here and shares cells with it.
 *
 * Without such a bundle ``since`` is None, every cell and file is added and there are no fields.
 */
export interface IChanges {
  since: string | null;
  cells: ICellChange[];
  files: IFileChange[];
  fields: IFieldChange[];
}

/**
 * One way in which a run can tell something, at most ``bits`` of it in all; ``counted``: against the policy's
 * ``bits_per_run``.
 */
export interface IChannel {
  name: string;
  bits: number;
  what: string;
  counted: boolean;
}

/** A chart's bars at one Trust; ``people`` is the sum of the bars that are shown, and no other total. */
export interface IChartOfTrust {
  chart: IAgeChartOutput | ISexChartOutput | IYearChartOutput | IMissingChartOutput | IVariableChartOutput;
  bars: IBar[];
  people: number;
}

/** ``cell`` counts from 1 without empty cells; ``cell_id`` finds it. ``trust`` is the key of the one that minds. */
export interface ICheckIssue {
  severity: 'error' | 'warning';
  code: string;
  message: string;
  cell: number | null;
  cell_id: string | null;
  line: number | null;
  trust: string | null;
}

/** ``plan`` is None where the plan file can't be read; ``passed`` names the checks that found nothing. */
export interface ICheckReport {
  issues: ICheckIssue[];
  passed: string[];
  parameters: IParameter[];
  plan: ISendPlan | null;
  rehearsed: boolean;
}

/** ``plan`` and ``minimum_trusts`` are those of the form; without them the plan file's hold. */
export interface ICheckRequest {
  path: string;
  study: string;
  plan?: IPlanInput | null;
  minimum_trusts?: number | null;
}

/** What one run chose; None where the bundle's own value holds. */
export interface IChoicesInput {
  rounds?: number | null;
  seed?: number | null;
  fold?: number | null;
  initial_weights?: string | null;
}

/** What one run chose; None where the bundle's own value holds. */
export interface IChoicesOutput {
  rounds: number | null;
  seed: number | null;
  fold: number | null;
  initial_weights: string | null;
}

/**
 * The part of a bundle's space that is not parameters; what is left out here is fixed by the bundle.
 *
 * ``minimum_rounds``: a run may train so few rounds, at most the plan's. ``seeds``: of the split, listed or as a
 * range. ``initial_weights``: SHA-256 of files that a run may begin with instead of the bundle's own. ``folds``: any
 * fold of the split may be its test part. The bundle's own values may always be chosen.
 */
export interface IChoosable {
  minimum_rounds: number | null;
  seeds: ISeedRange | number[];
  initial_weights: string[];
  folds: boolean;
}

/**
 * ``problem`` says what is not supported or not valid, and where; None where all is well.
 *
 * ``twin`` is None where no plan names this cohort, or its twin has not what the definition asks for. ``cost`` is what
 * the question about it will be charged, at the Trust where it is most; by Trust in ``prices``. ``last`` is what was
 * told of it before, in another session too.
 */
export interface ICohortCheck {
  problem: string | null;
  rules: number;
  cost: number;
  prices: ITrustPrice[];
  twin: ITwinCount | null;
  last: ILastAnswers | null;
}

/** A cohort file's content. ``version`` is its SHA-256, so that a save on top of another change is noticed. */
export interface ICohortDefinition {
  path: string;
  expression: { [name: string]: unknown };
  version: string;
}

/** ``path`` is relative to the root, with slashes, as the file browser names it. */
export interface ICohortFile {
  path: string;
  name: string;
}

/** The cohort files below the folder that JupyterLab shows. */
export interface ICohortList {
  cohorts: ICohortFile[];
}

/** When a run may end before its last round. ``threshold`` is what a Trust needs to vote 1. */
export interface IConsensusInput {
  measure?: 'agreement' | 'concordance';
  threshold?: number;
  rounds?: number;
}

/** When a run may end before its last round. ``threshold`` is what a Trust needs to vote 1. */
export interface IConsensusOutput {
  measure: 'agreement' | 'concordance';
  threshold: number;
  rounds: number;
}

/** What one data controller has approved of a bundle, where it holds now; the last time that they did. */
export interface IControllerApproval {
  controller: string;
  key: string;
  approved: string;
  executions_left: number;
}

/**
 * Counts of people: noise, then suppression below ``threshold``, then rounding to the nearest ``rounding``.
 *
 * ``noise`` is the standard deviation of a discrete Gaussian; 0 is none, and then no bound holds. Each count costs 1
 * of ``budget``, which all studies and researchers of the Trust share; one study may spend ``budget_per_study``.
 * What was spent comes back after ``period_days``, not with a new estate version. ``contracts.bound`` says what noise
 * and budget imply.
 *
 * ``seed``: noise is drawn by a secret of the Trust over the estate version and the ``question``, or over the
 * version and the cell's ``members``. By members another wording draws nothing new, but two answers that differ
 * show that two sets of people do, so that no bound holds (docs/controller.md).
 *
 * Every answer leaves ``answer_seconds`` after its question's turn, whatever the question and the estate; a question
 * that takes longer is stopped, and answered as a small number is. ``waiting_per_study``: how many of a study's
 * questions may wait for their turn; one more is refused.
 */
export interface ICountPolicy {
  threshold: number;
  rounding: number;
  noise: number;
  seed: 'question' | 'members';
  charts: boolean;
  budget: number;
  budget_per_study: number;
  period_days: number;
  answer_seconds: number;
  waiting_per_study: number;
}

/**
 * Sealed with the Trust's node key. ``problem`` says why a Trust refused; a suppressed count has none.
 *
 * ``answer_seconds``: how long after its turn every question of this Trust is answered.
 */
export interface ICountReply {
  people: number | null;
  suppressed: boolean;
  threshold: number | null;
  rounding: number | null;
  noise: number | null;
  estate_version: string | null;
  funnel: IStep[];
  charts: IChartOfTrust[];
  version: 'flip/count-reply/1';
  trust: string;
  request: string;
  budget: IBudget | null;
  answer_seconds: number | null;
  problem: IProblem | null;
}

/** What is frozen for a run, beside the cohort itself: nothing else can be seen by the kernel. */
export interface IDataset {
  variables: IVariableOutput[];
  tables: IFrozenTable[];
  images: IImageSet[];
}

/** An array whose elements lie within ``minimum`` and ``maximum``, rounded to ``decimals`` as outputs are. */
export interface IDeclaredArray {
  name: string;
  shape: number[];
  minimum: number;
  maximum: number;
  decimals: number;
}

/**
 * A number within ``minimum`` and ``maximum``, rounded to ``decimals`` by the airlock, and never beyond a bound:
 * where a bound has more decimals, the last number that is within it is sent instead.
 *
 * ``over`` names the part of the cohort that it is an average over; its people are the weight with which the
 * Trusts' numbers are averaged.
 */
export interface IDeclaredOutput {
  name: string;
  minimum: number;
  maximum: number;
  decimals: number;
  over: 'train' | 'validation' | 'test';
}

/** Why a data controller declines, for the researcher to read. */
export interface IDeclineReason {
  reason: string;
}

/**
 * Something at the desk is new: that of ``requests``, ``runs`` and ``audit`` which is another than before.
 *
 * ``agent`` is False where the agent does not answer, and ``message`` says so.
 */
export interface IDeskChange {
  agent: boolean;
  requests: string;
  runs: string;
  audit: string;
  message: string;
}

/** ``status`` is None where this JupyterLab is not in an enclave: there is no desk here. */
export interface IDeskHere {
  status: IDeskStatus | null;
}

/**
 * A run's part at this Trust, as its data controller sees it; ``code`` and ``reason`` say why it is so.
 *
 * ``images``: how many of the cohort's images were frozen of those found, and why the others were not, by set. Exact
 * numbers, which stay inside.
 */
export interface IDeskRun {
  run: string;
  bundle: string;
  study: string;
  title: string;
  state: 'notified' | 'waiting' | 'approved' | 'queued' | 'declined' | 'refused' | 'starting' | 'running' | 'finished' | 'failed' | 'left-out' | 'stopped';
  progress: IProgress | null;
  failure: IFailure | null;
  code: string | null;
  reason: string | null;
  started: string | null;
  ended: string | null;
  images: IImageCount[];
}

/** GET /runs */
export interface IDeskRuns {
  runs: IDeskRun[];
}

/** GET /status. ``images_waiting``: images that are held back until somebody decides; 0 at earlier agents. */
export interface IDeskStatus {
  trust: string;
  title: string;
  key: string;
  hub: string;
  hub_reachable: boolean;
  estate_version: string | null;
  policy: IPolicy;
  policy_digest: string;
  studies: string[];
  environments: { [name: string]: string };
  controllers: string[];
  sandbox: { [name: string]: boolean | number | string | null };
  waiting: number;
  running: number;
  images_waiting: number;
}

/** The act was done; what it changed is told as an event. */
export interface IDone {
}

/**
 * What is to be asked about a cohort. ``path`` is that of its file, None while it has none: the twin of a plan
 * beside it may tell something. ``study`` is whose Trusts would be asked.
 */
export interface IDraftCohort {
  question: IQuestion;
  path?: string | null;
  study?: string | null;
}

/** A named environment that a Trust built offline; ``lock`` is the SHA-256 of its lock file. */
export interface IEnvironment {
  name: string;
  lock: string;
}

/** Where the executed notebook lies, as the file browser names it. */
export interface IExecutedNotebook {
  path: string;
}

/** The path of a notebook that was rehearsed. */
export interface IExecutedWanted {
  path: string;
}

/**
 * An error as it may leave an enclave: class out of a closed list, cell and line; never its message.
 *
 * ``refusal`` is the code, out of ``failure.REFUSALS``, of what the enclave itself had refused the notebook last.
 */
export interface IFailure {
  error_class: string;
  cell: number | null;
  line: number | null;
  round: number | null;
  refusal: string | null;
}

/** A part of the bundle other than the notebook, as indented JSON text, where it differs. */
export interface IFieldChange {
  field: string;
  lines: IChangedLine[];
}

/**
 * A file that goes with the notebook against the one of its name in the earlier bundle: a module's source, or what
 * is said of weights, line by line.
 */
export interface IFileChange {
  name: string;
  type: 'module' | 'weights';
  kind: 'same' | 'changed' | 'added' | 'removed';
  lines: IChangedLine[];
}

/** ``descendants`` counts the concept itself too; None where the vocabulary has no ancestors. */
export interface IFoundConcept {
  concept_id: number;
  name: string;
  domain: string;
  vocabulary: string;
  code: string;
  standard: boolean;
  descendants: number | null;
}

/** The best matches first; ``total`` is the number of all. */
export interface IFoundConcepts {
  concepts: IFoundConcept[];
  total: number;
}

/** Cells in their order, ids different, one code cell tagged ``parameters``. */
export interface IFrozenNotebook {
  cells: ICell[];
}

/**
 * A table of the CDM of which the kernel sees the members' rows: ``columns`` of those in ``frozen.DECLARABLE``.
 *
 * Its key, the person and the columns that a frozen table has always are there as well. ``concepts`` leaves only rows
 * of these concepts; without any all rows are there.
 */
export interface IFrozenTable {
  name: string;
  columns: string[];
  concepts: number[];
}

/**
 * An image that is held back until a load has carried out what was decided. ``image`` is its file's SHA-256.
 *
 * ``person`` is a pseudonym, ``reasons`` are sentences without a value of the file, ``frames`` those with a picture.
 * ``coverable``: covering the texts settles all reasons. ``final``: a load carries the decision out.
 */
export interface IHeldImage {
  image: string;
  held: string;
  kind: string;
  person: string;
  bytes: number;
  reasons: string[];
  texts: IHeldText[];
  frames: number[];
  coverable: boolean;
  decision: 'release' | 'blank' | 'refuse' | 'withdraw' | null;
  controller: string | null;
  decided: string | null;
  final: boolean;
}

/** GET /images?after=IMAGE: up to 200, the longest held first; ``waiting`` and ``decided`` are of all pages. */
export interface IHeldImages {
  images: IHeldImage[];
  waiting: number;
  decided: number;
}

/** A frame of a held image as the enclave drew it: PNG in base64. */
export interface IHeldPicture {
  picture: string;
}

/** A text that was found in a frame (from 0), in the image's pixels: left, top, right, bottom. */
export interface IHeldText {
  frame: number;
  box: [number, number, number, number];
  text: string;
}

/** Whether the hub can be reached; ``connection`` rises each time that contact is made anew. */
export interface IHubContact {
  state: 'connecting' | 'online' | 'offline' | 'unconfigured';
  since: string;
  connection: number;
  message: string;
  remedy: string;
}

/**
 * What became of one set's images in one Trust: ``frozen`` of ``found``, the others by reason. Exact numbers.
 *
 * ``people`` have at least one of those frozen, of the cohort's members; ``train`` of them are in train, None where an
 * earlier release did not count them. They stay in the enclave, which tells ``share``.
 */
export interface IImageCount {
  name: string;
  found: number;
  frozen: number;
  people: number;
  train: number | null;
  left_out: ILeftOut[];
}

/**
 * POST /images/{image}/decision: what ``controller`` decides. ``boxes`` are those to cover, in the image's pixels;
 * None is every text that was found.
 */
export interface IImageMark {
  controller: string;
  decision: 'release' | 'blank' | 'refuse' | 'withdraw';
  boxes?: [number, number, number, number][] | null;
}

/**
 * Images under one name: ``flip.data().train.images(NAME)``.
 *
 * Of each person those series (``dimensions=3``) or single pictures (``2``) that are of ``modalities`` and, where
 * ``body_parts`` are given, of one of these concepts (``anatomic_site_concept_id``), and were made on a day of
 * ``window``. ``take`` says of which study they are: of the last or the first that has one, or of all of them; at most
 * ``per_person`` images, those with most slices first.
 *
 * Arrays are x, y and, of volumes, z. A volume's axes are turned so that they run most nearly to the person's right,
 * front and head (RAS+), without resampling; a picture's are columns to the right and rows downwards. With ``spacing``
 * (millimetres along x, y, z) an image is resampled to it; with ``size`` (voxels) its field of view is scaled to that;
 * with both it is resampled to the spacing and then cut or padded around its middle. Images are interpolated linearly,
 * labels by the nearest. Numbers keep their whole-number type; window and level are never applied.
 *
 * ``labels`` are segments of a DICOM SEG of the same study, by place in space; an image without any of them is left
 * out. ``most_bytes`` is how many bytes all of them may take in one Trust, in people's pseudonymous order.
 * ``role`` says whether a model is to find them out, as a variable's.
 */
export interface IImageSet {
  name: string;
  modalities: ('CR' | 'CT' | 'DX' | 'ES' | 'IO' | 'MG' | 'MR' | 'NM' | 'OP' | 'OT' | 'PT' | 'RF' | 'US' | 'XA')[];
  dimensions: 2 | 3;
  window: IWindow;
  body_parts: number[];
  take: 'last' | 'first' | 'all';
  per_person: number;
  size: number[] | null;
  spacing: number[] | null;
  labels: ISegment[];
  most_bytes: number;
  role: 'feature' | 'outcome';
}

/** What one run's kernel may use. Sizes in bytes, times in seconds. */
export interface IKernelLimits {
  memory_bytes: number;
  scratch_bytes: number;
  shm_bytes: number;
  processes: number;
  cpu_seconds: number;
  wall_seconds: number;
  cell_seconds: number;
  output_bytes: number;
  threads: number;
  require_memory_cgroup: boolean;
}

/** A strategy of Flower, what it aggregates, and its own parameters. */
export interface IKnownStrategy {
  name: string;
  aggregation: 'sum' | 'individual';
  parameters: { [name: string]: IStrategyRange };
}

/** ``version`` is the server extension's; ``researcher`` the name in the configuration, None without one. */
export interface ILabStatus {
  version: string;
  researcher: string | null;
  contact: IHubContact;
}

/** What the Trusts said of this very cohort when they were last asked. */
export interface ILastAnswers {
  asked: string;
  answers: ITrustAnswers;
}

/** One channel: how often something leaves, what it is, and how many bits it can carry in all at most. */
export interface ILeaving {
  name: string;
  times: string;
  what: string;
  bits: number;
  counted: boolean;
}

/** How many images were left out for one reason. */
export interface ILeftOut {
  reason: 'colour' | 'crashed' | 'damaged' | 'duplicate-position' | 'float-pixels' | 'labels-missing' | 'labels-overlap' | 'labels-unreadable' | 'missing-file' | 'missing-slice' | 'mixed-orientation' | 'mixed-size' | 'mixed-spacing' | 'no-geometry' | 'not-in-line' | 'over-bytes' | 'rtstruct' | 'several-frames' | 'single-slice' | 'too-large' | 'too-long' | 'unreadable' | 'unsupported-syntax';
  images: number;
}

/** Paths as the file browser names them; ``cohort`` may have been there before. */
export interface IMadeFiles {
  notebook: string;
  plan: string;
  cohort: string;
}

/** For how many a concept is recorded at any time up to the cohort's end; a measurement needs a value too. */
export interface IMissingChartInput {
  by?: 'missing';
  source: 'measurement' | 'observation' | 'condition';
  concept_id: number;
}

/** For how many a concept is recorded at any time up to the cohort's end; a measurement needs a value too. */
export interface IMissingChartOutput {
  by: 'missing';
  source: 'measurement' | 'observation' | 'condition';
  concept_id: number;
}

/** ``folder`` is relative to the root, empty for the root; ``cohort`` a cohort file in it, None for a new one. */
export interface INewNotebook {
  name: string;
  template: string;
  folder?: string;
  cohort?: string | null;
}

/** POST /requests/{digest}/opened: a data controller has had this part of a request before them. */
export interface IOpening {
  controller: string;
  part: 'brief' | 'code';
}

/**
 * One name of the notebook's ``parameters`` cell.
 *
 * Numbers lie within ``minimum`` and ``maximum`` (inclusive); where ``choices`` is given, the value is one of them.
 * A parameter with neither is fixed to its default.
 */
export interface IParameter {
  name: string;
  type: 'bool' | 'int' | 'float' | 'str';
  default: boolean | number | string;
  minimum: number | null;
  maximum: number | null;
  choices: (boolean | number | string)[];
  help: string;
}

/**
 * The rounds of a run; with a ``consensus`` it may end before the last of them.
 *
 * ``clip_norm`` bounds the L2 norm of one Trust's change of the weights in one round; it fixes the fixed-point
 * scale as well, so that every enclave encodes alike. ``round_seconds`` is how long one Trust may take for
 * one round at most, ``start_seconds`` how much longer for the first, in which kernels start, ``run_seconds`` how
 * long a run may take in all. Once rounds have shown how long they take, the deadline is learned from them and may
 * be earlier than ``round_seconds``, but no earlier than ``patience_seconds``.
 *
 * ``epochs`` is how many epochs the notebook trains within one round: ``rnd.progress(epoch)`` is told in eighths of
 * them, and not at all where none are declared.
 * ``weight_cap`` bounds the number of people with which one Trust's part counts, in the mean of the weights and in
 * averages: how many there are is that Trust's word alone. ``integer_clip`` bounds by how much an element of an
 * integer tensor (a counter, an index) may change in one round; those tensors are no part of the L2 norm.
 * ``reach`` is for a strategy that the hub's operator installed, alone: by how many times ``clip_norm`` (L2) one
 * round may move the global weights. Of Flower's it is known. ``radius`` is how far (L2, float tensors) the global
 * weights may ever lie from the initial ones, where it is given: a run whose weights leave it fails.
 */
export interface IPlanInput {
  rounds: number;
  strategy?: IStrategyInput;
  aggregation?: 'sum' | 'individual';
  consensus?: IConsensusInput | null;
  clip_norm: number;
  integer_clip?: number;
  epochs?: number | null;
  weight_cap?: number;
  reach?: number;
  radius?: number | null;
  round_seconds?: number;
  patience_seconds?: number;
  start_seconds?: number;
  run_seconds?: number;
}

/**
 * The rounds of a run; with a ``consensus`` it may end before the last of them.
 *
 * ``clip_norm`` bounds the L2 norm of one Trust's change of the weights in one round; it fixes the fixed-point
 * scale as well, so that every enclave encodes alike. ``round_seconds`` is how long one Trust may take for
 * one round at most, ``start_seconds`` how much longer for the first, in which kernels start, ``run_seconds`` how
 * long a run may take in all. Once rounds have shown how long they take, the deadline is learned from them and may
 * be earlier than ``round_seconds``, but no earlier than ``patience_seconds``.
 *
 * ``epochs`` is how many epochs the notebook trains within one round: ``rnd.progress(epoch)`` is told in eighths of
 * them, and not at all where none are declared.
 * ``weight_cap`` bounds the number of people with which one Trust's part counts, in the mean of the weights and in
 * averages: how many there are is that Trust's word alone. ``integer_clip`` bounds by how much an element of an
 * integer tensor (a counter, an index) may change in one round; those tensors are no part of the L2 norm.
 * ``reach`` is for a strategy that the hub's operator installed, alone: by how many times ``clip_norm`` (L2) one
 * round may move the global weights. Of Flower's it is known. ``radius`` is how far (L2, float tensors) the global
 * weights may ever lie from the initial ones, where it is given: a run whose weights leave it fails.
 */
export interface IPlanOutput {
  rounds: number;
  strategy: IStrategyOutput;
  aggregation: 'sum' | 'individual';
  consensus: IConsensusOutput | null;
  clip_norm: number;
  integer_clip: number;
  epochs: number | null;
  weight_cap: number;
  reach: number;
  radius: number | null;
  round_seconds: number;
  patience_seconds: number;
  start_seconds: number;
  run_seconds: number;
}

/** The path of a notebook that has no plan. */
export interface IPlanWanted {
  path: string;
}

/**
 * ``slots``: kernels at once. One that waits for its next round or a total longer than ``waiting_seconds`` gives
 * its slot to others: it is ended, and started anew from its saved state when the round comes. ``memory_use``: whether
 * progress says how much memory a kernel has used, in eighths of its limit, and of a GPU in eighths of that.
 * ``approvals``: how many different data controllers must approve a bundle before anything of it runs.
 * ``maximum_clip_norm`` and ``maximum_integer_clip`` bound what a plan may let a round change of float tensors (L2
 * norm), and of an element of integer tensors. ``one_trust_runs``: whether a run that trains nothing may have this
 * Trust alone, whatever ``minimum_trusts`` says, where its bundle asks for one: its totals and metrics are then this
 * Trust's own numbers. ``attached_bytes``: how large the files beside a notebook may be together; 0 is none.
 *
 * Approvals name this document's digest. A field that an upgrade brings, at its first default, is left out of it
 * (``document.Later``), since that allows nothing more than what was approved: so no upgrade voids approvals.
 *
 * When something leaves can tell as much as what leaves: steps of progress (cells, rounds, epochs, memory) leave on a
 * grid of ``progress_seconds``, replies for rounds and totals on one of ``reply_seconds``.
 */
export interface IPolicy {
  counts: ICountPolicy;
  per_trust_metrics: boolean;
  memory_use: boolean;
  individual_updates: boolean;
  approvals: number;
  minimum_trusts: number;
  one_trust_runs: boolean;
  minimum_train: number;
  maximum_clip_norm: number;
  maximum_integer_clip: number;
  maximum_rounds: number;
  bits_per_run: number;
  attached_bytes: number;
  slots: number;
  waiting_seconds: number;
  progress_seconds: number;
  reply_seconds: number;
  kernel: IKernelLimits;
}

/** The JSON body of every error response between zones. */
export interface IProblem {
  code: string;
  message: string;
  remedy: string;
}

/**
 * Where a Trust's part is, on a grid of its policy's ``progress_seconds``: 1-based cell of all code cells, round,
 * seconds. ``cell`` is the furthest so far: a kernel that is started anew does not undo it.
 *
 * ``eighths`` of the plan's ``epochs`` are done in this round; None where the plan declares none.
 * ``memory_bytes`` is the most that the kernel has used so far, rounded up to an eighth of what it may have
 * (``memory_of_bytes``); None where the Trust's policy keeps it. ``gpu_bytes``, ``gpu_of_bytes``: likewise of the GPU
 * that it has filled most; None where it has used none, too.
 */
export interface IProgress {
  cell: number | null;
  cells: number | null;
  round: number | null;
  eighths: number | null;
  seconds: number | null;
  memory_bytes: number | null;
  memory_of_bytes: number | null;
  gpu_bytes: number | null;
  gpu_of_bytes: number | null;
}

/** ``content`` is a JSON Schema (2020-12). */
export interface IPublishedSchema {
  content: { [name: string]: unknown };
}

/**
 * What to ask the Trusts of a study; nothing at all asks for the budgets alone, and is free.
 *
 * ``agreed`` is the price that a person saw. Where it has become higher, since a Trust has loaded new records, nobody
 * is asked.
 */
export interface IQuestion {
  expression: { [name: string]: unknown };
  people?: boolean;
  funnel?: boolean;
  charts?: (IAgeChartInput | ISexChartInput | IYearChartInput | IMissingChartInput | IVariableChartInput)[];
  agreed?: number | null;
}

/** What was sent: the bundle's digest, and a run for each point. */
export interface IReceipt {
  bundle: string;
  runs: IRunView[];
}

/** ``said`` is one sentence for a person: how long it took, and the last numbers that were reported. */
export interface IRehearsalTold {
  said: string;
  seconds: number;
  numbers: { [name: string]: number };
}

/**
 * GET /requests/{digest}: everything that a person must see to decide. ``count`` is exact: it stays inside.
 *
 * ``brief`` is the request in plain words. ``channels`` are all ways in which a run can tell something, ``bits_told``
 * their sum in words. ``opened`` says who has had which part before them, ``own`` which controllers signed it as its
 * researcher, and so may not decide. ``files`` are those that go with the notebook, in the bundle's order.
 * ``signed`` are the bundle's bytes as its researcher signed them, of which ``content`` is the meaning: the digest is
 * theirs, however else this version would write the content.
 */
export interface IRequestDetail {
  summary: IRequestSummary;
  signed: string;
  content: IBundle;
  files: IShownFile[];
  changes: IChanges;
  count: number | null;
  policy_digest: string;
  estate_version: string | null;
  what_leaves: string[];
  channels: IChannel[];
  bits_told: string;
  brief: IBrief;
  opened: IOpening[];
  own: string[];
}

/** GET /requests */
export interface IRequestList {
  requests: IRequestSummary[];
}

/**
 * One bundle that was put before this Trust. It waits until ``approvals_demanded`` controllers have approved, and
 * again while ``runs_waiting`` of its runs have no execution left for them.
 */
export interface IRequestSummary {
  bundle: string;
  study: string;
  title: string;
  researcher: string;
  researcher_key: string;
  state: 'waiting' | 'approved' | 'declined' | 'refused' | 'expired' | 'over';
  received: string;
  code: string | null;
  reason: string | null;
  runs: string[];
  runs_waiting: number;
  executions_left: number;
  approvals: IControllerApproval[];
  approvals_demanded: number;
}

/** ``path`` as the file browser names it; ``size`` in bytes. */
export interface IResultFile {
  path: string;
  size: number;
  sha256: string;
}

/** A notebook's path, as the file browser names it. */
export interface IResultsNotebook {
  path: string;
}

/**
 * One finished round: averages over the members, and single Trusts' numbers where their policies allow.
 *
 * ``weights`` are the global weights that the round began with; ``left_out`` says who was asked and is not in the
 * sum, and why. Of those, ``late`` gave no reply before the deadline and may come back in a later round.
 * ``votes`` of ``voters`` Trusts found that their own models and the global one agree (None without a consensus rule);
 * ``agreements`` are single Trusts' figures where their policies allow. ``shares``: each member's part of the people
 * with which the round's means are weighted, in bands; what they say of that number is the Trusts' own word.
 */
export interface IRoundSummary {
  round: number;
  of: number;
  training: boolean;
  members: string[];
  left_out: { [name: string]: string };
  late: string[];
  weights: string;
  metrics: { [name: string]: number };
  trust_metrics: { [name: string]: { [name: string]: number } };
  votes: number | null;
  voters: number | null;
  shares: { [name: string]: 'under-10' | '10-to-25' | '25-to-50' | 'over-50' };
  agreements: { [name: string]: number };
  seconds: number;
}

/** The parameters of another run of a bundle; those left out have their defaults, as what is not chosen has. */
export interface IRunAgain {
  point: { [name: string]: boolean | number | string };
  choices?: IChoicesInput;
}

/** A run as it is now, and its new events in their order; ``number`` is the last one's. */
export interface IRunChange {
  run: string;
  study: string;
  number: number;
  view: IRunView;
  events: IRunEvent[];
}

/** Numbered from 1 within a run; a listener resumes from any number. ``estate`` and ``images``: see TrustReport. */
export interface IRunEvent {
  run: string;
  number: number;
  at: string;
  kind: 'state' | 'trust' | 'progress' | 'round';
  state: 'waiting' | 'queued' | 'starting' | 'running' | 'stopping' | 'succeeded' | 'failed' | 'stopped' | null;
  trust: string | null;
  trust_state: 'notified' | 'waiting' | 'approved' | 'queued' | 'declined' | 'refused' | 'starting' | 'running' | 'finished' | 'failed' | 'left-out' | 'stopped' | null;
  code: string | null;
  reason: string | null;
  failure: IFailure | null;
  progress: IProgress | null;
  round: IRoundSummary | null;
  estate: string | null;
  images: { [name: string]: 'few' | 'under-50' | '50-to-75' | '75-to-90' | '90-or-more' } | null;
}

/** GET /v1/runs/{run}/events */
export interface IRunEvents {
  events: IRunEvent[];
}

/** Some of a study's runs, the newest first. ``next``: the older ones follow after this run; None at the end. */
export interface IRunPage {
  runs: IRunView[];
  next: string | null;
}

/**
 * A run from its submission to its final weights, as the hub knows it.
 *
 * ``point`` are the parameters' values, ``choices`` what else it chose within the bundle's space, ``cohort`` is the
 * definition's SHA-256, ``members`` the Trusts that took part, by key. ``consensus`` is the plan's rule of when to
 * end, None without one. ``seconds`` are the lengths of its stages: waiting, starting, running, total. ``versions``
 * are the hub's Python and packages. Weights are SHA-256 of safetensors files. ``notebook`` and ``telling`` as in
 * ``RunView``; ``estates`` are the versions of their estates on which the Trusts ran, in their own words, ``images``
 * how much of each set of images each of them could use.
 */
export interface IRunRecord {
  run: string;
  study: string;
  title: string;
  notebook: string;
  bundle: string;
  membership: string;
  researcher: string;
  cohort: string;
  environment: IEnvironment;
  strategy: IStrategyOutput | null;
  point: { [name: string]: boolean | number | string };
  telling: string[];
  choices: IChoicesOutput;
  consensus: IConsensusOutput | null;
  state: 'waiting' | 'queued' | 'starting' | 'running' | 'stopping' | 'succeeded' | 'failed' | 'stopped';
  reason: string | null;
  submitted: string;
  started: string | null;
  finished: string | null;
  seconds: { [name: string]: number };
  versions: { [name: string]: string };
  members: { [name: string]: string };
  estates: { [name: string]: string };
  images: { [name: string]: { [name: string]: 'few' | 'under-50' | '50-to-75' | '75-to-90' | '90-or-more' } };
  rounds: IRoundSummary[];
  initial_weights: string;
  final_weights: string | null;
}

/**
 * The record, and the files that were fetched into ``folder``, as the file browser names them.
 *
 * The weights' digest is the one that the record names; a run that failed may have none. ``packages`` are versions by
 * distribution, of the environment in which it ran.
 */
export interface IRunResults {
  record: IRunRecord;
  folder: string;
  files: IResultFile[];
  totals: IShownTotal[];
  packages: { [name: string]: string };
}

/**
 * A run as the hub shows it to the study's members.
 *
 * ``notebook`` is the name of its notebook's file, empty where the bundle does not say; ``choices`` is what it chose
 * beside its parameters. Between ``submitted`` and ``started`` it waited (for approvals, then for slots), between
 * ``started`` and ``finished`` it ran. ``telling`` are the parameters that tell it from other runs of its bundle; of
 * an earlier hub none.
 */
export interface IRunView {
  run: string;
  study: string;
  title: string;
  notebook: string;
  bundle: string;
  researcher: string;
  point: { [name: string]: boolean | number | string };
  telling: string[];
  choices: IChoicesOutput;
  state: 'waiting' | 'queued' | 'starting' | 'running' | 'stopping' | 'succeeded' | 'failed' | 'stopped';
  code: string | null;
  reason: string | null;
  submitted: string;
  started: string | null;
  finished: string | null;
  rounds_done: number;
  rounds: number;
  trusts: ITrustPart[];
  final_weights: string | null;
  last_event: number;
}

/** ``base`` is the version that was read; None for a new file. */
export interface ISavedCohort {
  path: string;
  expression: { [name: string]: unknown };
  base?: string | null;
}

/** A part of the request, folded under its title. */
export interface ISection {
  title: string;
  sentences: ISentence[];
}

/** Every whole number from ``minimum`` to ``maximum``, both included. */
export interface ISeedRange {
  minimum: number;
  maximum: number;
}

/** One variable that a notebook sees. ``may_be_later``: its value may lie after the index date. */
export interface ISeenVariable {
  name: string;
  label: string;
  what: string;
  window: string;
  may_be_later: boolean;
}

/**
 * One segment of DICOM Segmentations that becomes a label.
 *
 * ``label`` is the segment's label (0062,0005), capitals and spaces at its ends aside. Its voxels have the number of
 * the segment's place in ``ImageSet.labels``, counted from 1; 0 is everything else.
 */
export interface ISegment {
  name: string;
  label: string;
}

/** What the plan file says, as far as the form may change it. */
export interface ISendPlan {
  title: string;
  cohort: string;
  plan: IPlanOutput;
  seed: number;
  trusts: string[];
  minimum_trusts: number | null;
  valid_days: number;
  outputs: IDeclaredOutput[];
}

/** One line in plain words, and the lines that belong to it. */
export interface ISentence {
  text: string;
  parts: ISentence[];
}

/** OMOP's gender concepts 8532 and 8507, and every other. */
export interface ISexChartInput {
  by?: 'sex';
}

/** OMOP's gender concepts 8532 and 8507, and every other. */
export interface ISexChartOutput {
  by: 'sex';
}

/**
 * At how many of a bundle's points the notebook was found to have the model that was rehearsed, and of how many.
 *
 * ``problem`` says which point has another or fails; None where none does.
 */
export interface IShapeCheck {
  checked: number;
  of: number;
  problem: string | null;
}

/** Integer shares of the three parts, for example 2 : 0 : 1 for two thirds and one third. */
export interface IShares {
  train: number;
  validation: number;
  test: number;
}

/** A cell of an executed notebook, numbered from 1 over all cells, and its outputs made harmless. */
export interface IShownCell {
  number: number;
  type: 'code' | 'markdown' | 'raw';
  source: string;
  outputs: IShownOutput[];
}

/**
 * A file as people are shown it: of a module its ``source`` whole, of weights their tensors and their metadata.
 *
 * ``here`` is False where an enclave does not have its bytes any more; there is nothing to show then.
 */
export interface IShownFile {
  file: IAttachedFile;
  kind: 'module' | 'weights';
  here: boolean;
  source: string;
  tensors: ITensor[];
  metadata: { [name: string]: string };
}

/** GET /runs/{run}/shown: an executed notebook, which may show patients, and stays inside. */
export interface IShownNotebook {
  run: string;
  cells: IShownCell[];
}

/**
 * One output of an executed cell, harmless: text without control sequences, or a picture drawn anew as PNG.
 *
 * ``omitted`` is the type and size of what is not shown (HTML, SVG, widgets, what is too large or no picture).
 */
export interface IShownOutput {
  text: string | null;
  stream: 'stdout' | 'stderr' | 'result' | 'error';
  picture: string | null;
  width: number | null;
  height: number | null;
  omitted: string | null;
}

/** A sum that ``flip.total`` gave: its name, its shape, and its first elements in C order. */
export interface IShownTotal {
  name: string;
  shape: number[];
  first: number[];
}

/**
 * How members are divided, within each Trust and each class.
 *
 * Of m members of a class, ``test`` gets floor(m·test/total), ``validation`` likewise, ``train`` the rest,
 * so that a class with one member is in train. Members are ordered by the estate's person id and then shuffled by
 * NumPy's PCG64 seeded with ``[seed, class]``.
 * With ``folds`` test is the part number ``fold`` (from 0) of so many equal ones, from floor(m·fold/folds) on in that
 * order, so that over all folds each member is in test once; shares divide the others between train and validation.
 * With ``by_variable`` or ``by_date`` shares divide the rest, who are of neither of its parts. A part that one of
 * these rules makes has no share.
 */
export interface ISplit {
  seed: number;
  shares: IShares;
  stratify: IStratify | null;
  folds: number | null;
  fold: number;
  by_variable: ISplitByVariable | null;
  by_date: ISplitByDate | null;
}

/**
 * Members who enter the cohort on ``test_from`` or later are in test, of the others those from
 * ``validation_from`` on in validation; all earlier ones are the rest.
 */
export interface ISplitByDate {
  validation_from: string | null;
  test_from: string | null;
}

/**
 * Members whose ``variable`` has one of these values are in validation or in test: a centre, a ward, a flag.
 *
 * Numbers and concept ids, 1 and 0 of a condition. Every other member, and one without a value, is of the rest.
 */
export interface ISplitByVariable {
  variable: string;
  validation: number[];
  test: number[];
}

/** How many people the cohort has with its first ``rules`` inclusion rules; None where that is suppressed. */
export interface IStep {
  rules: number;
  people: number | null;
}

/** A strategy by name, with its own parameters; a name with a dot is one that the hub's operator installed. */
export interface IStrategyInput {
  name?: string;
  parameters?: { [name: string]: number };
}

/** A strategy by name, with its own parameters; a name with a dot is one that the hub's operator installed. */
export interface IStrategyOutput {
  name: string;
  parameters: { [name: string]: number };
}

/** The strategies that a plan may name without the hub's operator installing any. */
export interface IStrategyList {
  strategies: IKnownStrategy[];
}

/** The values that a strategy's parameter may have; ``whole``: integers only. */
export interface IStrategyRange {
  minimum: number;
  maximum: number;
  whole: boolean;
}

/** Two classes: ``variable`` > ``above``, and not. */
export interface IStratify {
  variable: string;
  above: number;
}

/** ``kept``: the roster is here, so that bundles can be made and counts be verified; else the hub alone knows it. */
export interface IStudy {
  study: string;
  purpose: string;
  roster: string;
  kept: boolean;
}

/** The studies of which the hub lets this researcher know. */
export interface IStudyList {
  studies: IStudy[];
}

/** ``packages`` are the distributions that its notebook imports, by which a Trust's environment can run it. */
export interface IStudyTemplate {
  name: string;
  title: string;
  says: string;
  packages: string[];
}

/** A Trust of the roster that this researcher keeps. ``card`` is verified with its key; None until it sends one. */
export interface IStudyTrust {
  key: string;
  name: string;
  title: string;
  joined: boolean;
  online: boolean;
  heard: string | null;
  card: ITrustCard | null;
}

/** A study's Trusts, in the roster's order. */
export interface IStudyTrusts {
  trusts: IStudyTrust[];
}

/** The installed templates, in the order in which people see them. */
export interface ITemplateList {
  templates: IStudyTemplate[];
}

/** One tensor of a model: its name, its sizes, at most 16 of them, and its dtype. */
export interface ITensor {
  name: string;
  shape: number[];
  dtype: 'float64' | 'float32' | 'float16' | 'bfloat16' | 'int64' | 'int32' | 'int16' | 'int8' | 'uint8' | 'bool';
}

/** The tensors of a model in their fixed order. */
export interface ITensorSpec {
  tensors: ITensor[];
}

/** ``start`` and ``end`` count characters from 0, ``line`` from 1. */
export interface ITextFault {
  start: number;
  end: number;
  line: number;
  message: string;
}

/** What is wrong with a text; nothing where nothing is. */
export interface ITextFaults {
  faults: ITextFault[];
}

/** A file's text as it stands in the editor, saved or not. */
export interface ITextToCheck {
  kind: 'plan' | 'cohort';
  text: string;
}

/**
 * One call of ``flip.total`` with these arrays: within round ``round``, or before the first (0).
 *
 * With ``final`` it is in the last evaluation, after all training rounds, however many there were: where the loop's
 * ``rnd.training`` is False.
 */
export interface ITotalStep {
  arrays: IDeclaredArray[];
  round: number;
  final: boolean;
}

/** ``reply`` is None where a Trust has not answered; ``problem`` says why an answer can't be used. */
export interface ITrustAnswer {
  key: string;
  title: string;
  reply: ICountReply | null;
  problem: string | null;
}

/** ``people`` adds the released numbers, without Trusts that suppress or are silent; None where there is none. */
export interface ITrustAnswers {
  answers: ITrustAnswer[];
  people: number | null;
}

/**
 * Sealed with the node key, so that a hub can't promise anything for a Trust. Nothing in it comes from a patient.
 *
 * ``data`` is when the current version of the estate was loaded; None where there is no estate yet.
 */
export interface ITrustCard {
  version: 'flip/trust-card/1';
  trust: string;
  made: string;
  data: string | null;
  gpus: number;
  slots: number;
  environments: IBuiltEnvironment[];
  allowance: IAllowance;
}

/**
 * One Trust's part of a run as the hub shows it.
 *
 * ``executions_left``: how many more runs of the bundle this Trust's approvals cover, as it said last; None where it
 * has not said so. ``heard``: when its agent last asked for tasks, which it does whatever runs there; None where it
 * has not lately.
 */
export interface ITrustPart {
  trust: string;
  name: string;
  state: 'notified' | 'waiting' | 'approved' | 'queued' | 'declined' | 'refused' | 'starting' | 'running' | 'finished' | 'failed' | 'left-out' | 'stopped';
  code: string | null;
  reason: string | null;
  failure: IFailure | null;
  progress: IProgress | null;
  executions_left: number | null;
  heard: string | null;
}

/** What the question will cost of one Trust's budget, as far as this workbench knows: nothing for what it told. */
export interface ITrustPrice {
  key: string;
  title: string;
  cost: number;
}

/** A Trust has come, gone, joined or said something new of itself: fetch the Trusts again. */
export interface ITrustsChange {
  pulse: string;
}

/** ``people`` of the twin's ``of`` invented people fit: nobody was asked, and it is no Trust's number. */
export interface ITwinCount {
  people: number;
  of: number;
}

/**
 * A column of ``flip.data().train.frame()``: one value per person.
 *
 * ``age`` is in years at the cohort's start, ``sex`` a gender concept id. A measurement or observation is of the days
 * of its ``window``: ``value='number'`` (in ``unit``, UCUM) or ``'concept'`` (a concept id); a condition is
 * ``'flag'``, 1 where one starts within the window. ``"until-cohort-end"`` is every day up to the cohort's end, which
 * may lie after the index date; it is what earlier datasets meant. ``take`` says which of the window's values: the
 * last or the first (by date, then by the record's id), of numbers also the least, the largest, the mean, and how
 * many there are, 0 where there is none. Otherwise missing stays missing. ``role`` says whether it is what a model is
 * to find out, and so may lie after the index date. ``minimum``, ``maximum`` and ``categories`` say what is
 * plausible; the twin draws from them, nothing is cut off by them.
 */
export interface IVariableInput {
  name: string;
  source: 'age' | 'sex' | 'measurement' | 'observation' | 'condition';
  concept_id?: number | null;
  value?: 'number' | 'concept' | 'flag';
  unit?: string | null;
  minimum?: number | null;
  maximum?: number | null;
  categories?: ICategory[];
  label?: string;
  window?: IWindow | 'until-cohort-end';
  take?: 'last' | 'first' | 'minimum' | 'maximum' | 'mean' | 'count';
  role?: 'feature' | 'outcome';
}

/**
 * A column of ``flip.data().train.frame()``: one value per person.
 *
 * ``age`` is in years at the cohort's start, ``sex`` a gender concept id. A measurement or observation is of the days
 * of its ``window``: ``value='number'`` (in ``unit``, UCUM) or ``'concept'`` (a concept id); a condition is
 * ``'flag'``, 1 where one starts within the window. ``"until-cohort-end"`` is every day up to the cohort's end, which
 * may lie after the index date; it is what earlier datasets meant. ``take`` says which of the window's values: the
 * last or the first (by date, then by the record's id), of numbers also the least, the largest, the mean, and how
 * many there are, 0 where there is none. Otherwise missing stays missing. ``role`` says whether it is what a model is
 * to find out, and so may lie after the index date. ``minimum``, ``maximum`` and ``categories`` say what is
 * plausible; the twin draws from them, nothing is cut off by them.
 */
export interface IVariableOutput {
  name: string;
  source: 'age' | 'sex' | 'measurement' | 'observation' | 'condition';
  concept_id: number | null;
  value: 'number' | 'concept' | 'flag';
  unit: string | null;
  minimum: number | null;
  maximum: number | null;
  categories: ICategory[];
  label: string;
  window: IWindow | 'until-cohort-end';
  take: 'last' | 'first' | 'minimum' | 'maximum' | 'mean' | 'count';
  role: 'feature' | 'outcome';
}

/**
 * One variable of a dataset: the marginal that a twin is drawn from.
 *
 * A number with a plausible range has ten bars over it, the outer two open-ended; a coded value one bar per category
 * and ``other``; a flag ``yes`` and ``no``. Whatever has no value is ``missing``.
 */
export interface IVariableChartInput {
  by?: 'variable';
  variable: IVariableInput;
}

/**
 * One variable of a dataset: the marginal that a twin is drawn from.
 *
 * A number with a plausible range has ten bars over it, the outer two open-ended; a coded value one bar per category
 * and ``other``; a flag ``yes`` and ``no``. Whatever has no value is ``missing``.
 */
export interface IVariableChartOutput {
  by: 'variable';
  variable: IVariableOutput;
}

/**
 * From ``start_days`` to ``end_days`` after the index date, both days within; None is without an end.
 *
 * Day 0 is the index date, -1 the day before: ``Window(start_days=-365, end_days=0)`` is the year up to it.
 */
export interface IWindow {
  start_days: number | null;
  end_days: number | null;
}

/** The calendar year of the cohort's start, from ``first`` to ``last``, one bar each. */
export interface IYearChartInput {
  by?: 'year';
  first: number;
  last: number;
}

/** The calendar year of the cohort's start, from ``first`` to ``last``, one bar each. */
export interface IYearChartOutput {
  by: 'year';
  first: number;
  last: number;
}

/** Every endpoint of the server extension, by its method and path. */
export interface IEndpoints {
  /** Make the exact bundle and keep it until it is signed; nothing is sent */
  'POST bundles': {
    path: undefined;
    query: undefined;
    body: IBundleRequest;
    answer: IBundlePreview;
  };
  /** A bundle that is at the hub */
  'GET bundles/{bundle}': {
    path: { bundle: string };
    query: undefined;
    body: undefined;
    answer: IBundle;
  };
  /** Ask for another run of a bundle at a point of its space; each Trust's approval decides */
  'POST bundles/{bundle}/runs': {
    path: { bundle: string };
    query: undefined;
    body: IRunAgain;
    answer: IRunView;
  };
  /** Sign a bundle that was shown, and send it; the same again sends the same */
  'POST bundles/{bundle}/sending': {
    path: { bundle: string };
    query: undefined;
    body: undefined;
    answer: IReceipt;
  };
  /** Run a bundle that was shown at some more of its points, on the twin, until its model is known; nothing is */
  'POST bundles/{bundle}/shapes': {
    path: { bundle: string };
    query: undefined;
    body: undefined;
    answer: IShapeCheck;
  };
  /** Cohort files, by path; hidden folders and those deeper than four are left out */
  'GET cohorts': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: ICohortList;
  };
  /** Whether the Trusts' compilers support a definition, what questions about it cost, and what the twin says */
  'POST cohorts/checks': {
    path: undefined;
    query: undefined;
    body: IDraftCohort;
    answer: ICohortCheck;
  };
  /** The definition in a cohort file, whether it is supported or not */
  'GET cohorts/definition': {
    path: undefined;
    query: { path: string };
    body: undefined;
    answer: ICohortDefinition;
  };
  /** Write a cohort file, whole or not at all. 409 where it is not as it was read */
  'PUT cohorts/definition': {
    path: undefined;
    query: undefined;
    body: ISavedCohort;
    answer: ICohortDefinition;
  };
  /** Concepts of the researcher's own vocabulary by name, code or id */
  'GET concepts': {
    path: undefined;
    query: { text: string; domain?: string };
    body: undefined;
    answer: IFoundConcepts;
  };
  /** This Trust's enclave, where JupyterLab runs in one */
  'GET desk': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: IDeskHere;
  };
  /** Audit entries from the index ``after`` on, and the tree head (RFC 6962) */
  'GET desk/audit': {
    path: undefined;
    query: { after?: number };
    body: undefined;
    answer: IAuditPage;
  };
  /** Have the agent read its audit log again, whole; while it is broken nothing can be approved */
  'GET desk/audit/check': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: IAuditCheck;
  };
  /** The newest lines of the audit log in plain words, a run in one of them */
  'GET desk/audit/lines': {
    path: undefined;
    query: { group?: string };
    body: undefined;
    answer: IAuditLines;
  };
  /** The entries of one line of the audit log, and each as it was written */
  'GET desk/audit/lines/{line}': {
    path: { line: string };
    query: undefined;
    body: undefined;
    answer: IAuditEntries;
  };
  /** Images that are held back: a page of them, those behind the image ``after`` */
  'GET desk/images': {
    path: undefined;
    query: { after?: string };
    body: undefined;
    answer: IHeldImages;
  };
  /** Release, cover or refuse a held image, or take that back; the next load of images carries it out */
  'POST desk/images/{image}/decision': {
    path: { image: string };
    query: undefined;
    body: IImageMark;
    answer: IHeldImage;
  };
  /** A frame of a held image as the enclave drew it, its texts in boxes. It may show patients, and stays inside */
  'GET desk/images/{image}/picture': {
    path: { image: string };
    query: { frame?: number };
    body: undefined;
    answer: IHeldPicture;
  };
  /** Requests that wait or hold; with ``decided`` all that ever came */
  'GET desk/requests': {
    path: undefined;
    query: { decided?: boolean };
    body: undefined;
    answer: IRequestList;
  };
  /** Everything that a person must see to decide; the count in it is exact and stays inside */
  'GET desk/requests/{bundle}': {
    path: { bundle: string };
    query: undefined;
    body: undefined;
    answer: IRequestDetail;
  };
  /** Decline a request; the researcher hears the reason */
  'POST desk/requests/{bundle}/decline': {
    path: { bundle: string };
    query: undefined;
    body: IDeclineReason;
    answer: IDone;
  };
  /** A data controller has had the brief or the code of a request before them; both are needed to approve it */
  'POST desk/requests/{bundle}/opened': {
    path: { bundle: string };
    query: undefined;
    body: IOpening;
    answer: IDone;
  };
  /** A page of the agent's own, on another origin, where the controller approves with the passphrase */
  'POST desk/requests/{bundle}/page': {
    path: { bundle: string };
    query: undefined;
    body: undefined;
    answer: IApprovalPage;
  };
  /** The runs at this Trust, the newest first */
  'GET desk/runs': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: IDeskRuns;
  };
  /** The executed notebook as text and pictures drawn anew. It may show patients, and stays inside */
  'GET desk/runs/{run}/notebook': {
    path: { run: string };
    query: undefined;
    body: undefined;
    answer: IShownNotebook;
  };
  /** Stop a run at this Trust alone */
  'POST desk/runs/{run}/stop': {
    path: { run: string };
    query: undefined;
    body: undefined;
    answer: IDone;
  };
  /** Try to reach the hub now; what comes of it is told as an event */
  'POST hub/tries': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: IHubContact;
  };
  /** Look a saved notebook over, and each Trust's card against it; nothing is sent */
  'POST notebooks/checks': {
    path: undefined;
    query: undefined;
    body: ICheckRequest;
    answer: ICheckReport;
  };
  /** Put the notebook as its last rehearsal ran it beside it, as ``NAME.rehearsed.ipynb``, in place of an earlier one */
  'POST notebooks/executed': {
    path: undefined;
    query: undefined;
    body: IExecutedWanted;
    answer: IExecutedNotebook;
  };
  /** What came of the last rehearsal of this very notebook with its plan */
  'GET notebooks/rehearsal': {
    path: undefined;
    query: { path: string };
    body: undefined;
    answer: IRehearsalTold;
  };
  /** One run, Trust by Trust */
  'GET runs/{run}': {
    path: { run: string };
    query: undefined;
    body: undefined;
    answer: IRunView;
  };
  /** The run's events above the number ``after`` */
  'GET runs/{run}/events': {
    path: { run: string };
    query: { after?: number };
    body: undefined;
    answer: IRunEvents;
  };
  /** Make ``NAME-results-RUN.ipynb`` beside the notebook that was sent, if it is not there yet */
  'POST runs/{run}/notebook': {
    path: { run: string };
    query: undefined;
    body: undefined;
    answer: IResultsNotebook;
  };
  /** A run's record as the hub has it now, of a run that goes on too */
  'GET runs/{run}/record': {
    path: { run: string };
    query: undefined;
    body: undefined;
    answer: IRunRecord;
  };
  /** Fetch all that came of an ended run into ``results/RUN``; weights are refused where their digest is wrong */
  'POST runs/{run}/results': {
    path: { run: string };
    query: undefined;
    body: undefined;
    answer: IRunResults;
  };
  /** Stop the run at every Trust */
  'POST runs/{run}/stop': {
    path: { run: string };
    query: undefined;
    body: undefined;
    answer: IRunView;
  };
  /** Versions, who works here, and how the hub can be reached */
  'GET status': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: ILabStatus;
  };
  /** Flower's strategies and their parameters' ranges */
  'GET strategies': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: IStrategyList;
  };
  /** The studies in which this researcher has a part, by name */
  'GET studies': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: IStudyList;
  };
  /** Ask every Trust of a study; each answer is noisy, rounded, and charged to the budget there */
  'POST studies/{study}/counts': {
    path: { study: string };
    query: undefined;
    body: IQuestion;
    answer: ITrustAnswers;
  };
  /** Some of a study's runs, the newest first: those that are older than the run ``after`` */
  'GET studies/{study}/runs': {
    path: { study: string };
    query: { after?: string | null };
    body: undefined;
    answer: IRunPage;
  };
  /** The Trusts of a study: whether they are there, and what they say of themselves */
  'GET studies/{study}/trusts': {
    path: { study: string };
    query: undefined;
    body: undefined;
    answer: IStudyTrusts;
  };
  /** The templates of study notebooks that are installed here */
  'GET templates': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: ITemplateList;
  };
  /** Make a notebook with plan and cohort from a template. 409 where a name is taken: then nothing is written */
  'POST templates/notebooks': {
    path: undefined;
    query: undefined;
    body: INewNotebook;
    answer: IMadeFiles;
  };
  /** Make a plan beside a notebook that has none, and its cohort where there is none either */
  'POST templates/plans': {
    path: undefined;
    query: undefined;
    body: IPlanWanted;
    answer: IMadeFiles;
  };
  /** Look over the text of a plan file or a cohort, as reading the file would */
  'POST texts/checks': {
    path: undefined;
    query: undefined;
    body: ITextToCheck;
    answer: ITextFaults;
  };
  /** The published JSON Schema of plan files or of cohorts */
  'GET texts/schemas/{kind}': {
    path: { kind: 'plan' | 'cohort' };
    query: undefined;
    body: undefined;
    answer: IPublishedSchema;
  };
}

/** What the server pushes, by event schema. */
export interface IEvents {
  'https://schema.jupyter.org/flipnb/desk/v1': IDeskChange;
  'https://schema.jupyter.org/flipnb/hub/v1': IHubContact;
  'https://schema.jupyter.org/flipnb/run/v1': IRunChange;
  'https://schema.jupyter.org/flipnb/trusts/v1': ITrustsChange;
}

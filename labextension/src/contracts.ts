// Written by `python -m flipnb.workbench.lab.openapi`; change the contracts in Python, not this file.

/** The version that the server extension must have. */
export const VERSION = '0.1.0';

/** What the Trust's policy allows at all; a person still decides on every bundle. */
export interface IAllowance {
  per_trust_metrics: boolean;
  individual_updates: boolean;
  minimum_trusts: number;
  minimum_train: number;
  maximum_clip_norm: number;
  maximum_rounds: number;
  bits_per_run: number;
}

/** An environment that the Trust built offline, and the distributions that its lock names. */
export interface IBuiltEnvironment {
  name: string;
  lock: string;
  distributions: string[];
}

/** ``path`` is relative to the root, with slashes, as the file browser names it. */
export interface ICohortFile {
  path: string;
  name: string;
}

export interface ICohortList {
  cohorts: ICohortFile[];
}

/** An error as it may leave an enclave: class out of a closed list, cell and line; never its message. */
export interface IFailure {
  error_class: string;
  cell: number | null;
  line: number | null;
  round: number | null;
}

/** Whether the hub can be reached; ``connection`` rises each time that contact is made anew. */
export interface IHubContact {
  state: 'connecting' | 'online' | 'offline' | 'unconfigured';
  since: string;
  connection: number;
  message: string;
  remedy: string;
}

/** ``version`` is the server extension's; ``researcher`` the name in the configuration, None without one. */
export interface ILabStatus {
  version: string;
  researcher: string | null;
  contact: IHubContact;
}

/** Where a Trust's part is, by the runner's own clock: 1-based cell of all code cells, round, seconds. */
export interface IProgress {
  cell: number | null;
  cells: number | null;
  round: number | null;
  epoch: number | null;
  epochs: number | null;
  seconds: number | null;
}

/**
 * One finished round: averages over the members, and single Trusts' numbers where their policies allow.
 *
 * ``weights`` are the global weights that the round began with; ``left_out`` says who was asked and is not in the
 * sum, and why. Of those, ``late`` gave no reply before the deadline and may come back in a later round.
 * ``votes`` of ``voters`` Trusts found that their own models and the global one agree (None without a consensus rule);
 * ``agreements`` are single Trusts' figures where their policies allow.
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
  agreements: { [name: string]: number };
  seconds: number;
}

/** A run as it is now, and its new events in their order; ``number`` is the last one's. */
export interface IRunChange {
  run: string;
  study: string;
  number: number;
  view: IRunView;
  events: IRunEvent[];
}

/** Numbered from 1 within a run; a listener resumes from any number. */
export interface IRunEvent {
  run: string;
  number: number;
  at: string;
  kind: 'state' | 'trust' | 'progress' | 'round';
  state: 'waiting' | 'starting' | 'running' | 'stopping' | 'succeeded' | 'failed' | 'stopped' | null;
  trust: string | null;
  trust_state: 'notified' | 'waiting' | 'approved' | 'declined' | 'refused' | 'starting' | 'running' | 'finished' | 'failed' | 'left-out' | 'stopped' | null;
  code: string | null;
  reason: string | null;
  failure: IFailure | null;
  progress: IProgress | null;
  round: IRoundSummary | null;
}

/** GET /v1/runs/{run}/events */
export interface IRunEvents {
  events: IRunEvent[];
}

export interface IRunList {
  runs: IRunView[];
}

/** A run as the hub shows it to the study's members. */
export interface IRunView {
  run: string;
  study: string;
  title: string;
  bundle: string;
  researcher: string;
  point: { [name: string]: boolean | number | string };
  state: 'waiting' | 'starting' | 'running' | 'stopping' | 'succeeded' | 'failed' | 'stopped';
  code: string | null;
  reason: string | null;
  submitted: string;
  finished: string | null;
  rounds_done: number;
  rounds: number;
  trusts: ITrustPart[];
  final_weights: string | null;
  last_event: number;
}

/** ``kept``: the roster is here, so that bundles can be made and counts be verified; else the hub alone knows it. */
export interface IStudy {
  study: string;
  purpose: string;
  roster: string;
  kept: boolean;
}

export interface IStudyList {
  studies: IStudy[];
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

export interface IStudyTrusts {
  trusts: IStudyTrust[];
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

/** One Trust's part of a run as the hub shows it. */
export interface ITrustPart {
  trust: string;
  name: string;
  state: 'notified' | 'waiting' | 'approved' | 'declined' | 'refused' | 'starting' | 'running' | 'finished' | 'failed' | 'left-out' | 'stopped';
  code: string | null;
  reason: string | null;
  failure: IFailure | null;
  progress: IProgress | null;
}

/** A Trust has come, gone, joined or said something new of itself: fetch the Trusts again. */
export interface ITrustsChange {
  pulse: string;
}

/** Every endpoint of the server extension, by its method and path. */
export interface IEndpoints {
  /** Cohort files, by path; hidden folders and those deeper than four are left out */
  'GET cohorts': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: ICohortList;
  };
  /** Try to reach the hub now; what comes of it is told as an event */
  'POST hub/tries': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: IHubContact;
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
  /** The studies in which this researcher has a part, by name */
  'GET studies': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: IStudyList;
  };
  /** A study's runs, the newest first */
  'GET studies/{study}/runs': {
    path: { study: string };
    query: undefined;
    body: undefined;
    answer: IRunList;
  };
  /** The Trusts of a study: whether they are there, and what they say of themselves */
  'GET studies/{study}/trusts': {
    path: { study: string };
    query: undefined;
    body: undefined;
    answer: IStudyTrusts;
  };
}

/** What the server pushes, by event schema. */
export interface IEvents {
  'https://schema.jupyter.org/flipnb/hub/v1': IHubContact;
  'https://schema.jupyter.org/flipnb/run/v1': IRunChange;
  'https://schema.jupyter.org/flipnb/trusts/v1': ITrustsChange;
}

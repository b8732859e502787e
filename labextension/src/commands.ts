import type { ICommandPalette } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

/**
 * Every command of FLIP. Whatever can be clicked is one of them.
 */
export namespace CommandIDs {
  export const showPanel = 'flip:show-panel';
  export const chooseStudy = 'flip:choose-study';
  export const openTrust = 'flip:open-trust';
  export const tryHub = 'flip:try-hub';
  export const showRuns = 'flip:show-runs';
  export const openRun = 'flip:open-run';
  export const stopRun = 'flip:stop-run';
  export const cloneRun = 'flip:clone-run';
  export const rehearseNotebook = 'flip:rehearse-notebook';
  export const openRehearsed = 'flip:open-rehearsed';
  export const checkNotebook = 'flip:check-notebook';
  export const sendNotebook = 'flip:send-notebook';
  export const newStudyNotebook = 'flip:new-study-notebook';
  export const makePlan = 'flip:make-plan';
  export const newCohort = 'flip:new-cohort';
  export const openCohort = 'flip:open-cohort';
  export const rehearseFile = 'flip:rehearse-file';
  export const sendFile = 'flip:send-file';
  export const openCohortFile = 'flip:open-cohort-file';
  export const useCohortFile = 'flip:use-cohort-file';
  export const importCohort = 'flip:import-cohort';
  export const exportCohort = 'flip:export-cohort';
  export const insertCohort = 'flip:insert-cohort';
  export const saveCohort = 'flip:save-cohort';
  export const undoCohort = 'flip:undo-cohort';
  export const redoCohort = 'flip:redo-cohort';
  export const openResults = 'flip:open-results';
  export const useResults = 'flip:use-results';
  export const openResultsNotebook = 'flip:open-results-notebook';
  export const compareRuns = 'flip:compare-runs';
  export const showDesk = 'flip:show-desk';
  export const openRequest = 'flip:open-request';
  export const nextRequest = 'flip:next-request';
  export const previousRequest = 'flip:previous-request';
  export const copyDigest = 'flip:copy-digest';
  export const approveRequest = 'flip:approve-request';
  export const declineRequest = 'flip:decline-request';
  export const stopHere = 'flip:stop-here';
  export const openExecuted = 'flip:open-executed';
  export const showImages = 'flip:show-images';
  export const openAudit = 'flip:open-audit';
}

/**
 * Arguments of a command that takes none.
 */
export const NO_ARGS = { args: { type: 'object' as const, properties: {} } };

/**
 * Arguments of a command on one run; without one it takes the run that is open.
 */
export const RUN_ARGS = {
  args: {
    type: 'object' as const,
    properties: {
      run: { type: 'string' as const, description: 'The id of the run' }
    }
  }
};

/**
 * Arguments of a command on a notebook; without a path it takes the one that is open.
 */
export const NOTEBOOK_ARGS = {
  args: {
    type: 'object' as const,
    properties: {
      path: { type: 'string' as const, description: 'The path of the notebook' }
    }
  }
};

/**
 * Arguments of a command on one request at the desk; without one it takes the request that is open.
 */
export const REQUEST_ARGS = {
  args: {
    type: 'object' as const,
    properties: {
      bundle: {
        type: 'string' as const,
        description: 'The digest of the bundle'
      }
    }
  }
};

/**
 * Show commands in the palette under FLIP.
 */
export function addToPalette(
  palette: ICommandPalette | null,
  trans: TranslationBundle,
  commands: ReadonlyArray<string>
): void {
  for (const command of commands) {
    palette?.addItem({ command, category: trans.__('FLIP') });
  }
}

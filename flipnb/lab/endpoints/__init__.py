"""All endpoints: one module for each area of the screens, one function for each act."""

from __future__ import annotations

from flipnb.lab.endpoint import Endpoint
from flipnb.lab.endpoints import cohorts, desk, notebooks, rehearsals, results, runs, status, studies, templates, texts

ALL: tuple[Endpoint, ...] = (
    *(status.get_status, status.try_hub),
    *(studies.list_studies, studies.list_trusts),
    *(cohorts.list_cohorts, cohorts.read_definition, cohorts.save_definition, cohorts.check_definition),
    *(cohorts.search_concepts, cohorts.ask_trusts),
    *(notebooks.check_notebook, notebooks.list_strategies, notebooks.prepare_bundle, notebooks.send_bundle),
    *(notebooks.check_shapes, notebooks.get_bundle, notebooks.run_again),
    *(rehearsals.view_rehearsal, rehearsals.show_executed),
    *(texts.check_text, texts.view_schema),
    *(templates.list_templates, templates.make_notebook, templates.make_plan),
    *(runs.list_runs, runs.view_run, runs.list_events, runs.stop_run),
    *(results.fetch_run_results, results.view_record, results.make_results_notebook),
    *(desk.view_desk, desk.list_requests, desk.view_request, desk.open_approval_page, desk.decline_request),
    *(desk.list_desk_runs, desk.stop_here, desk.view_executed, desk.note_opened),
    *(desk.list_held_images, desk.view_held_picture, desk.decide_image),
    *(desk.view_audit, desk.view_audit_lines, desk.view_audit_entries, desk.check_audit),
)

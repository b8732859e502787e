import type { TranslationBundle } from '@jupyterlab/translation';

import { criterionText, fieldWords, rangeText, setName } from './cohortwords';
import type {
  IConceptSet,
  ICounted,
  ICriterion,
  IDefinition,
  IGroup,
  IRange
} from './definition';
import { DOMAINS, domainOf, fieldsOf, otherFields, says } from './criterion';
import { sexOf } from './definition';

/**
 * A part of a file that the builder can't edit: where it stands, and what it says.
 */
export interface IRemainder {
  place: string;
  text: string;
}

const PARTS: ReadonlySet<string> = new Set([
  'Title',
  'cdmVersionRange',
  'ConceptSets',
  'PrimaryCriteria',
  'AdditionalCriteria',
  'QualifiedLimit',
  'ExpressionLimit',
  'InclusionRules',
  'EndStrategy',
  'CensoringCriteria',
  'CensorWindow',
  'CollapseSettings'
]);

/**
 * All that a definition says and the builder has no control for, in the order in which the builder shows its places.
 */
export function remainderOf(
  trans: TranslationBundle,
  definition: IDefinition
): IRemainder[] {
  const reader = new Reader(trans, definition.ConceptSets ?? []);
  const {
    PrimaryCriteria,
    AdditionalCriteria,
    InclusionRules,
    EndStrategy,
    CensoringCriteria,
    CensorWindow,
    CollapseSettings
  } = definition;
  const enter = trans.__('Enter');
  const leave = trans.__('Leave');
  const dates = trans.__('Dates and eras');
  reader.criteria(enter, PrimaryCriteria.CriteriaList);
  reader.others(enter, PrimaryCriteria.ObservationWindow, [
    'PriorDays',
    'PostDays'
  ]);
  reader.others(enter, PrimaryCriteria, [
    'CriteriaList',
    'ObservationWindow',
    'PrimaryCriteriaLimit'
  ]);
  if (AdditionalCriteria) {
    reader.group(trans.__('Enter, those with'), AdditionalCriteria);
  }
  (InclusionRules ?? []).forEach((rule, index) =>
    reader.group(trans.__('Keep, rule %1', index + 1), rule.expression)
  );
  reader.others(leave, EndStrategy, ['DateOffset', 'CustomEra']);
  reader.others(leave, EndStrategy?.DateOffset, ['DateField', 'Offset']);
  reader.others(leave, EndStrategy?.CustomEra, [
    'DrugCodesetId',
    'GapDays',
    'Offset',
    'DaysSupplyOverride'
  ]);
  reader.criteria(trans.__('Leave, at once'), CensoringCriteria ?? []);
  reader.others(dates, CensorWindow, ['StartDate', 'EndDate']);
  reader.others(dates, CollapseSettings, ['CollapseType', 'EraPad']);
  reader.others(trans.__('Elsewhere in the file'), definition, [...PARTS]);
  return reader.found;
}

/**
 * What a criterion says beyond what is edited, as words; empty where there is nothing.
 */
export function otherWords(
  trans: TranslationBundle,
  criterion: ICriterion,
  sets: ReadonlyArray<IConceptSet>
): string {
  const fields = fieldsOf(criterion);
  const reader = new Reader(trans, sets);
  return otherFields(criterion)
    .map(name => reader.field(name, fields[name]))
    .join('; ');
}

class Reader {
  constructor(
    private readonly _trans: TranslationBundle,
    private readonly _sets: ReadonlyArray<IConceptSet>
  ) {}

  readonly found: IRemainder[] = [];

  criteria(place: string, criteria: ReadonlyArray<ICriterion>): void {
    const trans = this._trans;
    criteria.forEach((one, index) =>
      this.criterion(trans.__('%1, line %2', place, index + 1), one)
    );
  }

  criterion(place: string, criterion: ICriterion): void {
    const trans = this._trans;
    const domain = domainOf(criterion);
    if (!(DOMAINS as ReadonlyArray<string>).includes(domain)) {
      const words = otherWords(trans, criterion, this._sets);
      const what = criterionText(trans, criterion, this._sets);
      this._add(place, words === '' ? what : `${what}: ${words}`);
      return;
    }
    for (const name of otherFields(criterion)) {
      this._add(place, this.field(name, fieldsOf(criterion)[name]));
    }
    const { CorrelatedCriteria } = fieldsOf(criterion);
    if (CorrelatedCriteria) {
      this.group(trans.__('%1, those with', place), CorrelatedCriteria);
    }
  }

  group(place: string, group: IGroup): void {
    const trans = this._trans;
    (group.DemographicCriteriaList ?? []).forEach((one, index) => {
      const line = trans.__('%1, person %2', place, index + 1);
      const edited = ['Age', ...(sexOf(one) === null ? [] : ['Gender'])];
      this.others(line, one, edited);
    });
    (group.CriteriaList ?? []).forEach((one, index) =>
      this._counted(trans.__('%1, line %2', place, index + 1), one)
    );
    (group.Groups ?? []).forEach((one, index) =>
      this.group(trans.__('%1, group %2', place, index + 1), one)
    );
    this.others(place, group, [
      'Type',
      'Count',
      'CriteriaList',
      'DemographicCriteriaList',
      'Groups'
    ]);
  }

  /** What a part of the file says under other names than those that are edited. */
  others(
    place: string,
    part: object | null | undefined,
    edited: ReadonlyArray<string>
  ): void {
    for (const [name, value] of Object.entries(part ?? {})) {
      if (!edited.includes(name) && says(value)) {
        this._add(place, this.field(name, value));
      }
    }
  }

  field(name: string, value: unknown): string {
    const words = fieldWords(name);
    return value === true ? words : `${words}: ${this._value(name, value)}`;
  }

  private _counted(place: string, counted: ICounted): void {
    this.criterion(place, counted.Criteria);
    for (const window of [counted.StartWindow, counted.EndWindow]) {
      this.others(place, window, [
        'Start',
        'End',
        'UseIndexEnd',
        'UseEventEnd'
      ]);
      this.others(place, window?.Start, ['Days', 'Coeff']);
      this.others(place, window?.End, ['Days', 'Coeff']);
    }
    const { Occurrence } = counted;
    // By which of its columns records are told apart matters only where they are.
    this.others(place, Occurrence, [
      'Type',
      'Count',
      ...(Occurrence?.IsDistinct ? [] : ['CountColumn'])
    ]);
    this.others(place, counted, [
      'Criteria',
      'StartWindow',
      'EndWindow',
      'Occurrence',
      'RestrictVisit',
      'IgnoreObservationPeriod'
    ]);
  }

  private _value(name: string, value: unknown): string {
    const trans = this._trans;
    if (Array.isArray(value)) {
      return value.map(item => this._value(name, item)).join(', ');
    }
    if (typeof value === 'number' && /SourceConcept$|CodesetId$/.test(name)) {
      return setName(trans, this._sets, value);
    }
    if (typeof value !== 'object' || value === null) {
      const text = String(value);
      return /^[A-Z]+(_[A-Z]+)+$/.test(text)
        ? text.toLowerCase().replaceAll('_', ' ')
        : text;
    }
    const part = value as { [name: string]: unknown };
    if (typeof part.CONCEPT_ID === 'number') {
      return String(
        part.CONCEPT_NAME ?? trans.__('concept %1', part.CONCEPT_ID)
      );
    }
    if (typeof part.Text === 'string') {
      return `${fieldWords(String(part.Op ?? ''))} “${part.Text}”`;
    }
    if (part.Op !== undefined && part.Value !== undefined) {
      return rangeText(trans, part as unknown as IRange);
    }
    if (typeof part.CodesetId === 'number') {
      const set = setName(trans, this._sets, part.CodesetId);
      return part.IsExclusion ? trans.__('not %1', set) : set;
    }
    return Object.entries(part)
      .filter(([, item]) => says(item))
      .map(([key, item]) => this.field(key, item))
      .join('; ');
  }

  private _add(place: string, text: string): void {
    this.found.push({ place, text });
  }
}

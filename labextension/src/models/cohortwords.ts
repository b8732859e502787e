import type { TranslationBundle } from '@jupyterlab/translation';

import type {
  IConceptSet,
  ICounted,
  ICriterion,
  IDefinition,
  IDemographic,
  IGroup,
  IRange
} from './definition';
import { domainOf, fieldsOf, hasConcepts } from './criterion';
import { FEMALE, MALE, sexOf } from './definition';

type Sets = ReadonlyArray<IConceptSet>;

const SIGNS: { [op: string]: string } = {
  gte: '≥',
  gt: '>',
  lte: '≤',
  lt: '<',
  eq: '=',
  '!eq': '≠'
};

/**
 * The word for the records of a domain.
 */
export function domainWord(trans: TranslationBundle, domain: string): string {
  switch (domain) {
    case 'ConditionOccurrence':
      return trans.__('condition');
    case 'ConditionEra':
      return trans.__('condition era');
    case 'DrugExposure':
      return trans.__('drug exposure');
    case 'DrugEra':
      return trans.__('drug era');
    case 'Measurement':
      return trans.__('measurement');
    case 'Observation':
      return trans.__('observation');
    case 'ProcedureOccurrence':
      return trans.__('procedure');
    case 'DeviceExposure':
      return trans.__('device');
    case 'VisitOccurrence':
      return trans.__('visit');
    case 'Specimen':
      return trans.__('specimen');
    case 'Death':
      return trans.__('death');
    case 'ObservationPeriod':
      return trans.__('observation period');
    case 'FlipText':
      return trans.__('text');
    case 'FlipImage':
      return trans.__('image');
    default:
      return fieldWords(domain);
  }
}

/**
 * A name of the file as words: "OccurrenceStartDate" is "occurrence start date".
 */
export function fieldWords(name: string): string {
  return name
    .replace(/CS$/, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase();
}

/**
 * What a concept set is called.
 */
export function setName(
  trans: TranslationBundle,
  sets: Sets,
  id: number
): string {
  return (
    sets.find(set => set.id === id)?.name || trans.__('Concept set %1', id)
  );
}

/**
 * A bound in signs: "≥ 5", "18 to 90".
 */
export function rangeText(trans: TranslationBundle, range: IRange): string {
  if (range.Op === 'bt' || range.Op === '!bt') {
    const words = trans.__('%1 to %2', range.Value, range.Extent ?? '');
    return range.Op === 'bt' ? words : trans.__('not %1', words);
  }
  return `${SIGNS[range.Op] ?? range.Op} ${range.Value}`;
}

/**
 * Records in a few words: "first-ever condition Diabetes".
 */
export function criterionText(
  trans: TranslationBundle,
  criterion: ICriterion,
  sets: Sets
): string {
  const domain = domainOf(criterion);
  const fields = fieldsOf(criterion);
  const word = domainWord(trans, domain);
  const id = fields.CodesetId;
  const named =
    hasConcepts(domain) && typeof id === 'number'
      ? trans.__('%1 %2', word, setName(trans, sets, id))
      : word;
  const first = fields.First ? trans.__('first-ever %1', named) : named;
  const valued = fields.ValueAsNumber
    ? `${first} ${rangeText(trans, fields.ValueAsNumber)}`
    : first;
  return fields.Age
    ? trans.__('%1 at age %2', valued, rangeText(trans, fields.Age))
    : valued;
}

/**
 * Who enters, in one line.
 */
export function entryText(
  trans: TranslationBundle,
  definition: IDefinition
): string {
  const { CriteriaList, ObservationWindow, PrimaryCriteriaLimit } =
    definition.PrimaryCriteria;
  const sets = definition.ConceptSets ?? [];
  const parts = CriteriaList.map(one => criterionText(trans, one, sets)).join(
    trans.__(' or ')
  );
  const limit = (PrimaryCriteriaLimit?.Type ?? 'All').toLowerCase();
  const ever =
    CriteriaList.length === 1 && fieldsOf(CriteriaList[0]).First === true;
  const whole =
    ever && limit !== 'last'
      ? trans.__('on the %1', parts)
      : limit === 'first'
        ? trans.__('on the first %1', parts)
        : limit === 'last'
          ? trans.__('on the last %1', parts)
          : trans.__('on each %1', parts);
  const before = ObservationWindow?.PriorDays ?? 0;
  const after = ObservationWindow?.PostDays ?? 0;
  return [
    whole,
    ...(before > 0 ? [trans.__('%1 days observed before', before)] : []),
    ...(after > 0 ? [trans.__('%1 days observed after', after)] : []),
    ...(definition.AdditionalCriteria
      ? [
          trans.__(
            'those with %1',
            groupText(trans, definition.AdditionalCriteria, sets)
          )
        ]
      : [])
  ].join(', ');
}

/**
 * What a group asks for, in a few words.
 */
export function groupText(
  trans: TranslationBundle,
  group: IGroup,
  sets: Sets
): string {
  const parts = [
    ...(group.DemographicCriteriaList ?? []).map(one =>
      demographicText(trans, one)
    ),
    ...(group.CriteriaList ?? []).map(one => countedText(trans, one, sets)),
    ...(group.Groups ?? []).map(one => `(${groupText(trans, one, sets)})`)
  ];
  if (parts.length === 0) {
    return trans.__('nothing yet');
  }
  switch (group.Type) {
    case 'ANY':
      return parts.join(trans.__(' or '));
    case 'AT_LEAST':
      return trans.__('at least %1 of: %2', group.Count ?? 0, parts.join('; '));
    case 'AT_MOST':
      return trans.__('at most %1 of: %2', group.Count ?? 0, parts.join('; '));
    default:
      return parts.join(trans.__(' and '));
  }
}

function demographicText(
  trans: TranslationBundle,
  demographic: IDemographic
): string {
  const sex = sexOf(demographic);
  const parts = [
    ...(demographic.Age
      ? [trans.__('age %1', rangeText(trans, demographic.Age))]
      : []),
    ...(sex === 'any' ? [] : [sexWord(trans, sex)])
  ];
  return parts.join(', ') || trans.__('any age and sex');
}

/**
 * What a choice of sexes is called.
 */
export function sexWord(
  trans: TranslationBundle,
  sex: ReturnType<typeof sexOf>
): string {
  switch (sex) {
    case 'any':
      return trans.__('any');
    case 'both':
      return trans.__('female or male');
    case FEMALE:
      return trans.__('female');
    case MALE:
      return trans.__('male');
    case null:
      return trans.__('one of several');
    default:
      return trans.__('concept %1', sex);
  }
}

function countedText(
  trans: TranslationBundle,
  counted: ICounted,
  sets: Sets
): string {
  const { Type, Count } = counted.Occurrence ?? { Type: 2, Count: 1 };
  const what = criterionText(trans, counted.Criteria, sets);
  if (Count === 0 && Type !== 2) {
    return trans.__('no %1', what);
  }
  const number =
    Type === 2
      ? trans.__('at least %1', Count)
      : Type === 1
        ? trans.__('at most %1', Count)
        : trans.__('exactly %1', Count);
  return Type === 2 && Count === 1 ? what : `${number} ${what}`;
}

/**
 * When people leave and what is made of their periods, where that is not the default, in one line.
 */
export function datesText(
  trans: TranslationBundle,
  definition: IDefinition
): string {
  const { StartDate, EndDate } = definition.CensorWindow ?? {};
  const gap = definition.CollapseSettings?.EraPad ?? 0;
  const dates =
    StartDate && EndDate
      ? trans.__('from %1 to %2', StartDate, EndDate)
      : StartDate
        ? trans.__('from %1', StartDate)
        : EndDate
          ? trans.__('until %1', EndDate)
          : trans.__('at any date');
  return `${dates}; ${
    gap > 0
      ? trans.__('periods at most %1 days apart are joined', gap)
      : trans.__('periods that touch are joined')
  }`;
}

/**
 * When people leave, in one line.
 */
export function leaveText(
  trans: TranslationBundle,
  definition: IDefinition
): string {
  const sets = definition.ConceptSets ?? [];
  const { DateOffset, CustomEra } = definition.EndStrategy ?? {};
  const end = DateOffset
    ? trans.__(
        '%1 days after the %2 of what they entered on',
        DateOffset.Offset ?? 0,
        DateOffset.DateField === 'StartDate'
          ? trans.__('start')
          : trans.__('end')
      )
    : CustomEra
      ? trans.__(
          'when exposure to %1 ends',
          setName(trans, sets, CustomEra.DrugCodesetId)
        )
      : trans.__('when observation ends');
  const censoring = (definition.CensoringCriteria ?? []).map(one =>
    criterionText(trans, one, sets)
  );
  return censoring.length === 0
    ? end
    : trans.__('%1, at once on %2', end, censoring.join(trans.__(' or ')));
}

import { domainOf, isImage, isText } from './criterion';

/**
 * An OHDSI cohort expression, the JSON that ATLAS writes, as far as the builder edits it. What else is in it is kept.
 */
export interface IDefinition {
  Title?: string;
  ConceptSets?: IConceptSet[];
  PrimaryCriteria: IPrimary;
  /**
   * What must be true around the records that begin it.
   */
  AdditionalCriteria?: IGroup | null;
  QualifiedLimit?: ILimit;
  ExpressionLimit?: ILimit;
  InclusionRules?: IRule[];
  EndStrategy?: IEndStrategy | null;
  CensoringCriteria?: ICriterion[];
  CensorWindow?: IPeriod;
  CollapseSettings?: ICollapse;
  [other: string]: unknown;
}

/**
 * Which of a person's events count: all, the first, the last.
 */
export interface ILimit {
  Type?: string;
}

/**
 * When people leave; without one, when their observation ends.
 */
export interface IEndStrategy {
  DateOffset?: {
    DateField: 'StartDate' | 'EndDate';
    Offset?: number;
    [other: string]: unknown;
  } | null;
  CustomEra?: {
    DrugCodesetId: number;
    GapDays?: number;
    Offset?: number;
    DaysSupplyOverride?: number | null;
    [other: string]: unknown;
  } | null;
  [other: string]: unknown;
}

/**
 * From when to when, as dates; an open end is absent.
 */
export interface IPeriod {
  StartDate?: string | null;
  EndDate?: string | null;
  [other: string]: unknown;
}

/**
 * A person's periods in the cohort that are at most so many days apart become one.
 */
export interface ICollapse {
  CollapseType?: string;
  EraPad?: number;
  [other: string]: unknown;
}

/**
 * Who enters: the records that begin a cohort, and how long somebody was observed around them.
 */
export interface IPrimary {
  CriteriaList: ICriterion[];
  ObservationWindow?: { PriorDays?: number; PostDays?: number };
  PrimaryCriteriaLimit?: ILimit;
  [other: string]: unknown;
}

/**
 * Concepts that are meant together, by a number that criteria refer to.
 */
export interface IConceptSet {
  id: number;
  name: string;
  expression: { items: IConceptItem[] };
}

/**
 * A concept in a set, and whether its descendants and what is mapped to it are meant as well.
 */
export interface IConceptItem {
  concept: {
    CONCEPT_ID: number;
    CONCEPT_NAME?: string;
    [other: string]: unknown;
  };
  isExcluded?: boolean;
  includeDescendants?: boolean;
  includeMapped?: boolean;
}

/**
 * A rule with a name: of those who entered it keeps whom its group is true of.
 */
export interface IRule {
  name: string;
  description?: string;
  expression: IGroup;
}

/**
 * Criteria and groups, of which all, any, or so many must be true.
 */
export interface IGroup {
  Type: GroupType;
  Count?: number | null;
  CriteriaList?: ICounted[];
  DemographicCriteriaList?: IDemographic[];
  Groups?: IGroup[];
  [other: string]: unknown;
}

/**
 * How many of a group must be true; the last two have a Count.
 */
export type GroupType = 'ALL' | 'ANY' | 'AT_LEAST' | 'AT_MOST';

/**
 * A criterion within a window around the index event, and how often it must occur.
 */
export interface ICounted {
  Criteria: ICriterion;
  StartWindow?: IWindow | null;
  EndWindow?: IWindow | null;
  RestrictVisit?: boolean;
  IgnoreObservationPeriod?: boolean;
  Occurrence?: IOccurrence;
  [other: string]: unknown;
}

/**
 * One key, the domain, with its fields.
 */
export interface ICriterion {
  [domain: string]: IFields;
}

/**
 * What a criterion asks of a record, as far as the builder edits it.
 */
export interface IFields {
  CodesetId?: number | null;
  First?: boolean | null;
  ValueAsNumber?: IRange | null;
  UnitCS?: ISelection | null;
  Age?: IRange | null;
  TermExists?: TermExists | null;
  TermTemporal?: TermTemporal | null;
  Features?: IImageFeature[] | null;
  CorrelatedCriteria?: IGroup | null;
  [other: string]: unknown;
}

/**
 * Concepts of a set.
 */
export interface ISelection {
  CodesetId: number;
  IsExclusion?: boolean;
}

/**
 * What a note says of a concept: Y, the patient has it; N, it is negated, ruled out, or of somebody else.
 */
export type TermExists = 'Y' | 'N';

/**
 * Whether a note speaks of now or of earlier.
 */
export type TermTemporal = 'present' | 'past';

/**
 * A feature of an image, such as its slice thickness, and its number.
 */
export interface IImageFeature {
  CodesetId: number;
  ValueAsNumber?: IRange | null;
  UnitCS?: ISelection | null;
  [other: string]: unknown;
}

/**
 * A bound for a number; Extent is the other end of "between".
 */
export interface IRange {
  Value: number;
  Op: RangeOp;
  Extent?: number | null;
}

/**
 * How a number is compared with a bound; "bt" is between.
 */
export type RangeOp = 'gte' | 'gt' | 'lte' | 'lt' | 'eq' | '!eq' | 'bt' | '!bt';

/**
 * From when to when a record may begin.
 */
export interface IWindow {
  Start: IEdge;
  End: IEdge;
  UseIndexEnd?: boolean | null;
  UseEventEnd?: boolean | null;
  [other: string]: unknown;
}

/**
 * Days before (Coeff -1) or after (Coeff 1) the index event; no Days: as far as observation goes.
 */
export interface IEdge {
  Days?: number | null;
  Coeff: -1 | 1;
  [other: string]: unknown;
}

/**
 * Type 0: exactly, 1: at most, 2: at least.
 */
export interface IOccurrence {
  Type: 0 | 1 | 2;
  Count: number;
  IsDistinct?: boolean;
  [other: string]: unknown;
}

/**
 * What a criterion asks of a person at the index event.
 */
export interface IDemographic {
  Age?: IRange | null;
  Gender?: { CONCEPT_ID: number; [other: string]: unknown }[] | null;
  [other: string]: unknown;
}

/**
 * OMOP's concepts of gender.
 */
export const FEMALE = 8532;
export const MALE = 8507;

/**
 * A definition of a new cohort: whoever is observed, from the first day on.
 */
export function emptyDefinition(): IDefinition {
  return {
    ConceptSets: [],
    PrimaryCriteria: {
      CriteriaList: [{ ObservationPeriod: { First: true } }],
      ObservationWindow: { PriorDays: 0, PostDays: 0 },
      PrimaryCriteriaLimit: { Type: 'First' }
    },
    QualifiedLimit: { Type: 'First' },
    ExpressionLimit: { Type: 'First' },
    InclusionRules: []
  };
}

/**
 * A rule that keeps everybody.
 */
export function emptyRule(): IRule {
  return { name: '', expression: { Type: 'ALL', CriteriaList: [] } };
}

/**
 * At least one, at any time within the observation period.
 */
export function emptyCounted(
  criterion: ICriterion = { ConditionOccurrence: {} }
): ICounted {
  return {
    Criteria: criterion,
    StartWindow: {
      Start: { Days: null, Coeff: -1 },
      End: { Days: null, Coeff: 1 }
    },
    Occurrence: { Type: 2, Count: 1 }
  };
}

/**
 * The criteria of a definition that ATLAS has not: it refuses the whole definition then.
 */
export function beyondAtlas(definition: IDefinition): string[] {
  const found = new Set<string>();
  JSON.stringify(definition, (key, value) => {
    if (isText(key) || isImage(key)) {
      found.add(key);
    }
    return value;
  });
  return [...found].sort();
}

/**
 * A list with one item replaced, or left out where there is no new one.
 */
export function replaced<T>(
  items: ReadonlyArray<T>,
  index: number,
  item: T | null
): T[] {
  return item === null
    ? items.filter((_, at) => at !== index)
    : items.map((old, at) => (at === index ? item : old));
}

/**
 * A list with one item one place further up or down.
 */
export function moved<T>(
  items: ReadonlyArray<T>,
  index: number,
  by: -1 | 1
): T[] {
  const to = index + by;
  if (to < 0 || to >= items.length) {
    return [...items];
  }
  const result = [...items];
  [result[index], result[to]] = [result[to], result[index]];
  return result;
}

/**
 * Whether nothing has been said yet of whom is meant.
 */
export function isEmpty(definition: IDefinition): boolean {
  return (
    (definition.ConceptSets ?? []).length === 0 &&
    definition.PrimaryCriteria.CriteriaList.every(
      criterion => domainOf(criterion) === 'ObservationPeriod'
    )
  );
}

/**
 * The sexes that a person may have, as a choice: one concept, both, none for any; null for what is no such choice.
 */
export function sexOf(
  demographic: IDemographic
): 'any' | 'both' | number | null {
  const sexes = (demographic.Gender ?? []).map(({ CONCEPT_ID }) => CONCEPT_ID);
  switch (sexes.length) {
    case 0:
      return 'any';
    case 1:
      return sexes[0];
    default:
      return sexes.length === 2 &&
        sexes.includes(MALE) &&
        sexes.includes(FEMALE)
        ? 'both'
        : null;
  }
}

import type { ICriterion, IFields } from './definition';

/**
 * The domains of records that criteria are about; the last two are not of ATLAS.
 */
export const DOMAINS = [
  'ConditionOccurrence',
  'ConditionEra',
  'DrugExposure',
  'DrugEra',
  'Measurement',
  'Observation',
  'ProcedureOccurrence',
  'DeviceExposure',
  'VisitOccurrence',
  'Specimen',
  'Death',
  'ObservationPeriod',
  'FlipText',
  'FlipImage'
] as const;

const NUMBERED: ReadonlySet<string> = new Set(['Measurement', 'Observation']);
const CODED: ReadonlySet<string> = new Set(
  DOMAINS.filter(domain => domain !== 'ObservationPeriod')
);
const AGED: ReadonlySet<string> = new Set(
  DOMAINS.filter(domain => !/Era$|^ObservationPeriod$/.test(domain))
);
const FIRST: ReadonlySet<string> = new Set(
  DOMAINS.filter(domain => domain !== 'Death')
);

/**
 * What kind of record a criterion is about; empty for one that says nothing.
 */
export function domainOf(criterion: ICriterion): string {
  return Object.keys(criterion)[0] ?? '';
}

/**
 * What a criterion asks of a record.
 */
export function fieldsOf(criterion: ICriterion): IFields {
  return criterion[domainOf(criterion)] ?? {};
}

/**
 * Whether records of a domain have a value with a unit.
 */
export function hasNumber(domain: string): boolean {
  return NUMBERED.has(domain);
}

/**
 * Whether records of a domain are of concepts.
 */
export function hasConcepts(domain: string): boolean {
  return CODED.has(domain);
}

/**
 * Whether a person's first record of a domain can be asked for.
 */
export function hasFirst(domain: string): boolean {
  return FIRST.has(domain);
}

/**
 * Whether a person's age at records of a domain can be asked for.
 */
export function hasAge(domain: string): boolean {
  return AGED.has(domain);
}

/**
 * Whether a domain is of what notes say.
 */
export function isText(domain: string): boolean {
  return domain === 'FlipText';
}

/**
 * Whether a domain is of images.
 */
export function isImage(domain: string): boolean {
  return domain === 'FlipImage';
}

/**
 * Another domain for a criterion: its concepts stay, what the new domain does not have goes.
 */
export function withDomain(criterion: ICriterion, domain: string): ICriterion {
  const { CodesetId, First, ValueAsNumber, UnitCS, Age, CorrelatedCriteria } =
    fieldsOf(criterion);
  return {
    [domain]: {
      ...(hasConcepts(domain) && CodesetId !== undefined ? { CodesetId } : {}),
      ...(hasFirst(domain) && First ? { First } : {}),
      ...(hasNumber(domain) && ValueAsNumber ? { ValueAsNumber } : {}),
      ...(hasNumber(domain) && UnitCS ? { UnitCS } : {}),
      ...(hasAge(domain) && Age ? { Age } : {}),
      ...(CorrelatedCriteria ? { CorrelatedCriteria } : {})
    }
  };
}

/**
 * A criterion with some of its fields changed.
 */
export function withFields(
  criterion: ICriterion,
  fields: Partial<IFields>
): ICriterion {
  return { [domainOf(criterion)]: { ...fieldsOf(criterion), ...fields } };
}

/**
 * Names of the fields that a criterion has beyond those that are edited, and that say something: they are kept.
 */
export function otherFields(criterion: ICriterion): string[] {
  const domain = domainOf(criterion);
  const known = (DOMAINS as ReadonlyArray<string>).includes(domain);
  return Object.entries(fieldsOf(criterion))
    .filter(
      ([name, value]) => says(value) && !(known && isEdited(domain, name))
    )
    .map(([name]) => name);
}

/**
 * Whether a value of a file is more than a default that is written out.
 */
export function says(value: unknown): boolean {
  return !(
    value === null ||
    value === undefined ||
    value === false ||
    (typeof value === 'object' && Object.values(value).every(v => !says(v)))
  );
}

/**
 * Whether the builder has a control for a field of a domain.
 */
function isEdited(domain: string, name: string): boolean {
  switch (name) {
    case 'CodesetId':
      return hasConcepts(domain);
    case 'Age':
      return hasAge(domain);
    case 'First':
      return hasFirst(domain);
    case 'ValueAsNumber':
    case 'UnitCS':
      return hasNumber(domain);
    case 'TermExists':
    case 'TermTemporal':
      return isText(domain);
    case 'Features':
      return isImage(domain);
    default:
      return name === 'CorrelatedCriteria';
  }
}

"""Which attributes identify somebody or something: by VR and by the words of an attribute's keyword.

The keywords are those of pydicom's dictionary. This is on purpose not PS3.15's Table E.1-1, by which the engine works:
an attribute that one of the two has forgotten is found by the other.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from flipnb.estate.imaging.postscan.elements import dictionary_vr

Class = Literal[
    "name",
    "identifier",
    "place",
    "device",
    "characteristic",
    "description",
    "circumstance",
    "uid",
    "date",
    "time",
    "number",
    "binary",
    "text",
]

TEXT_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
NUMBER_VRS = frozenset({"AS", "DA", "DS", "DT", "IS", "TM", "UI"})

_IDENTIFIER = re.compile(
    r"(?<!TypeOf)PatientIDs?$|IssuerOf|IDIssuer|Accession|AdmissionID|MedicalRecordLocator|EpisodeID|OrderNumber|InsurancePlan|StudyID$"
    r"|ProcedureI?D$|StepID$|PatientDeathDateInAlternativeCalendar|SpecimenIdentifier|ContainerIdentifier|ContainerComponentID|SlideIdentifier|ClinicalTrial.*I?D$"
    r"|ClinicalTrialSubject|ApprovalNumber|ResultsID|InterpretationID|PassengerID|BoardingPass|RegistrationNumber|BarcodeValue"
    r"|LocalNamespaceEntityID|UniversalEntityID$|HL7InstanceIdentifier|TrackingID$|OwnerID"
)
_PLACE = re.compile(
    r"Institution(?!.*TypeCode)|Department|Address|Telephone|PhoneNumber|Telecom|(?<!SchemeResponsible)Organization$|Residence"
    r"|PatientLocation|ProcedureLocation|StepLocation|StudyLocation|EntererLocation|PerformedLocation|AssignedLocation"
    r"|ClinicalTrial.*Name$|MilitaryRank|BranchOfService|ContactURI|RetrieveURL|RetrieveURI|StorageURL|FolderAccessURI|FileAccessURI"
)
_NAMED = re.compile(
    r"Physician|^Operators|Author$|CameraOwnerName|ContactDisplayName|TopicAuthor|Originator|HangingProtocolCreator"
)
_DEVICE = re.compile(
    r"StationName|AETitle|SerialNumber|DeviceUID|GantryID|GeneratorID|CassetteID|PlateID|DetectorID|XRaySourceID"
    r"|CaptureDeviceID|HardcopyCreationDeviceID|UniqueDeviceIdentifier|DeviceAlternateIdentifier$|ManufacturerDeviceIdentifier"
    r"|TreatmentMachineName|RadiationMachineName|ReceivingAE|RequestingAE|DestinationAE|SourceApplicationEntity|^DeviceLabel$"
)
_CHARACTERISTIC = re.compile(
    r"^Patient(Age|Sex|Size|Weight|SexNeutered|State)$|EthnicGroup$|SmokingStatus|PregnancyStatus"
    r"|MedicalAlerts|Allergies|PreMedication|SpecialNeeds"
)
# No option of PS3.15 keeps these: the same value again is one too many, but it names nobody elsewhere.
_CIRCUMSTANCE = re.compile(r"ReligiousPreference$|Occupation$|PrimaryLanguage|TransportArrangements")
_DESCRIPTION = re.compile(
    r"(Image|Study|Visit|Patient|Frame|Results|Acquisition|Identifying|Request|Procedure|Presentation|ServiceRequest)Comments$"
    r"|CommentsOn|^(Study|Series|RequestedProcedure|PerformedProcedureStep|ScheduledProcedureStep|AdmittingDiagnoses"
    r"|Derivation|DischargeDiagnosis|ServiceEpisode|InterpretationDiagnosis)Description|^ReasonFor(Visit|Study|The)|Impressions"
    r"|^RequestingService$|^ProtocolName$"
    r"|InterpretationText|^RTPlan(Label|Name|Description)$|^StructureSet(Label|Name|Description)$"
)
_UID_OF_A_KIND = re.compile(
    r"SOPClass|TransferSyntax|CodingSchemeUID|ContextUID|MappingResourceUID|ImplementationClassUID|CreatorUID|CreatorVersionUID"
    r"|SelectorUIValue"
)
_VERSION = re.compile(r"^ContextGroup(Local)?Version$")
_DEVICE_UID = re.compile(r"DeviceUID$|ManufacturerDeviceClassUID")


_OF_CONTENT = {
    0x0040A040: frozenset(
        (
            b"TEXT",
            b"NUM",
            b"CODE",
            b"DATE",
            b"TIME",
            b"DATETIME",
            b"UIDREF",
            b"PNAME",
            b"COMPOSITE",
            b"IMAGE",
            b"WAVEFORM",
            b"TABLE",
            b"CONTAINER",
            b"SCOORD",
            b"SCOORD3D",
            b"TCOORD",
        )
    ),
    0x0040A130: frozenset(b"POINT MULTIPOINT SEGMENT MULTISEGMENT BEGIN END".split()),
    0x00700023: frozenset(b"POINT MULTIPOINT POLYLINE INTERPOLATED CIRCLE ELLIPSE POLYGON ELLIPSOID".split()),
}


def is_kind_of_content(tag: int, value: bytes) -> bool:
    """Whether a value says of what kind a report's item is, in the standard's word (PS3.3 C.17.3): ``TEXT``, ``PNAME``.

    Somebody may be called so; in that place it is no name.
    """
    kinds = _OF_CONTENT.get(tag)
    return kinds is not None and value.strip(b" \0") in kinds


@lru_cache(maxsize=16384)
def keyword(tag: int) -> str:
    """The attribute's keyword, empty where the dictionary has none."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag)


@lru_cache(maxsize=16384)
def classify(tag: int, vr: str) -> Class:
    """What an element holds, by its VR, the VR that it should have, and its keyword: a name in an LO is a name."""
    should = dictionary_vr(tag) if not tag & 0x10000 else vr
    either, name = {vr, should}, keyword(tag)
    if "PN" in either:
        return "name"
    if "UI" in either:
        return "text" if _UID_OF_A_KIND.search(name) else "device" if _DEVICE_UID.search(name) else "uid"
    if either & {"DA", "DT"}:
        return "text" if _VERSION.search(name) else "date"
    if "TM" in either:
        return "time"
    if name and _CHARACTERISTIC.search(name):
        return "characteristic"
    if either & {"DS", "IS"}:
        return "number"
    if not either & (TEXT_VRS | {"AS"}):
        return "binary"
    for kind, words in _WORDS:
        if name and words.search(name):
            return kind
    return "text"


_WORDS: tuple[tuple[Class, re.Pattern[str]], ...] = (
    ("description", _DESCRIPTION),
    ("circumstance", _CIRCUMSTANCE),
    ("device", _DEVICE),
    ("place", _PLACE),
    ("identifier", _IDENTIFIER),
    ("name", _NAMED),
)

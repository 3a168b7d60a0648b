// `strftime_now`: the render's clock through Python's `strftime` codes, in the C locale, written out so that no global locale is touched.
// The calendar is the proleptic Gregorian one; days become dates by the civil-from-days method (Hinnant, "chrono-compatible low-level date
// algorithms").

import Foundation
import SwiftletTensor

/// A moment taken apart in one time zone.
private struct CivilTime {
    let year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int, microsecond: Int
    /// Days since Sunday, and since 1 January.
    let weekday: Int, dayOfYear: Int

    init(secondsSince1970 total: Double) {
        let whole = total.rounded(.down)
        microsecond = min(Int((total - whole) * 1e6), 999_999)
        let seconds = Int(whole)
        let days = Self.floorDivide(seconds, 86400)
        let rest = seconds - days * 86400
        (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60)
        weekday = (days % 7 + 11) % 7

        let shifted = days + 719_468
        let era = Self.floorDivide(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfShiftedYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfShiftedYear + 2) / 153
        day = dayOfShiftedYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let isLeap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
        let daysBefore = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
        dayOfYear = daysBefore[month - 1] + (isLeap && month > 2 ? 1 : 0) + day - 1
    }

    private static func floorDivide(_ value: Int, _ divisor: Int) -> Int { value >= 0 ? value / divisor : (value + 1) / divisor - 1 }
}

extension TemplateEvaluator {
    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ]
    private static let weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

    /// The render's clock written by `format`. An unknown code is an error.
    func formattedTime(_ format: String) throws -> String {
        let seconds = clock.now.timeIntervalSince1970
        // Years 1 to 9999, as Python's datetime.
        guard (-62_135_500_000...253_402_200_000).contains(seconds) else { throw failure("the clock is outside the years 1 to 9999") }
        let offset = clock.timeZone.secondsFromGMT(for: clock.now)
        let time = CivilTime(secondsSince1970: seconds + Double(offset))
        try charge(format.utf8.count, times: 16)
        var result = ""
        var scalars = format.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "%" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            var pads = true
            if scalars.first == "-" {
                pads = false
                scalars.removeFirst()
            }
            guard let code = scalars.popFirst() else { throw failure("the time format ends after '%'") }
            result += try field(code, of: time, pads: pads)
        }
        return result
    }

    private func field(_ code: Unicode.Scalar, of time: CivilTime, pads: Bool) throws -> String {
        func number(_ value: Int, _ width: Int, with pad: Character = "0") -> String {
            let digits = "\(value)"
            return pads ? String(repeating: pad, count: max(0, width - digits.count)) + digits : digits
        }
        let hour12 = time.hour % 12 == 0 ? 12 : time.hour % 12
        let month = Self.months[time.month - 1]
        let weekday = Self.weekdays[time.weekday]
        switch code {
        case "Y": return number(time.year, 1)
        case "C": return number(time.year / 100, 2)
        case "y": return number(time.year % 100, 2)
        case "m": return number(time.month, 2)
        case "d": return number(time.day, 2)
        case "e": return number(time.day, 2, with: " ")
        case "H": return number(time.hour, 2)
        case "k": return number(time.hour, 2, with: " ")
        case "I": return number(hour12, 2)
        case "l": return number(hour12, 2, with: " ")
        case "M": return number(time.minute, 2)
        case "S": return number(time.second, 2)
        case "f": return String(repeating: "0", count: 6 - "\(time.microsecond)".count) + "\(time.microsecond)"
        case "j": return number(time.dayOfYear + 1, 3)
        case "u": return number(time.weekday == 0 ? 7 : time.weekday, 1)
        case "w": return number(time.weekday, 1)
        case "U": return number((time.dayOfYear + 7 - time.weekday) / 7, 2)
        case "W": return number((time.dayOfYear + 7 - (time.weekday + 6) % 7) / 7, 2)
        case "B": return month
        case "b", "h": return String(month.prefix(3))
        case "A": return weekday
        case "a": return String(weekday.prefix(3))
        case "p": return time.hour < 12 ? "AM" : "PM"
        case "P": return time.hour < 12 ? "am" : "pm"
        case "s": return "\(Int(clock.now.timeIntervalSince1970.rounded(.down)))"
        case "n": return "\n"
        case "t": return "\t"
        case "%": return "%"
        // `datetime.now()` carries no time zone, so Python prints nothing for these two.
        case "z", "Z": return ""
        default:
            guard let expansion = Self.combinations[code] else {
                throw failure("unknown time code '%\(code)'", remedy: "Use the codes of Python's strftime.")
            }
            return try formattedTime(expansion)
        }
    }

    /// Codes that stand for several.
    private static let combinations: [Unicode.Scalar: String] = [
        "D": "%m/%d/%y", "x": "%m/%d/%y", "F": "%Y-%m-%d", "T": "%H:%M:%S", "X": "%H:%M:%S", "R": "%H:%M", "c": "%a %b %e %H:%M:%S %Y",
        "r": "%I:%M:%S %p",
    ]
}

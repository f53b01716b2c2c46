Feature: What an answer says

  Background:
    Given a stable provider

  Scenario Outline: A flag without rules
    Given a <type>-flag with key "<key>" and a default value "<default>"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the flag key should be "<key>"
    And the variant should be "<variant>"
    And the reason should be "STATIC"

    Examples:
      | type    | key               | default | value                                                                        | variant  |
      | Boolean | boolean-flag      | false   | true                                                                         | on       |
      | Boolean | boolean-zero-flag | true    | false                                                                        | zero     |
      | String  | string-flag       | bye     | hi                                                                           | greeting |
      | String  | string-zero-flag  | hi      |                                                                              | zero     |
      | Integer | integer-flag      | 1       | 10                                                                           | ten      |
      | Float   | float-zero-flag   | 0.1     | 0.0                                                                          | zero     |
      | Object  | object-flag       | {}      | {"showImages": true, "title": "Check out these pics!", "imagesPerPage": 100} | template |

  Scenario Outline: A flag with a rule
    Given a <type>-flag with key "<type>-targeted-zero-flag" and a fallback value "<default>"
    And a context containing a key "email", with type "String" and with value "<email>"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the reason should be "<reason>"

    Examples:
      | type    | default | email                | value | reason          |
      | boolean | true    | ballmer@macrosoft.com | false | TARGETING_MATCH |
      | string  | hi      | ballmer@macrosoft.com |       | TARGETING_MATCH |
      | integer | 1       | ballmer@macrosoft.com | 0     | TARGETING_MATCH |
      | float   | 0.1     | ballmer@none.com      | 0.0   | DEFAULT         |
      | object  | {}      | ballmer@none.com      | {}    | DEFAULT         |

  Scenario: An attribute that is null matches no rule
    Given a boolean-flag with key "boolean-targeted-zero-flag" and a default value "true"
    And a context containing a key "email" with null value
    When the flag was evaluated with details
    Then the reason should be "DEFAULT"

  Scenario: A rule asks one of several attributes
    Given a String-flag with key "context-aware" and a default value "neither"
    And a context containing a key "age", with type "Integer" and with value "65"
    And a context containing a key "customer", with type "Boolean" and with value "false"
    When the flag was evaluated with details
    Then the resolved details value should be "INTERNAL"
    And the reason should be "TARGETING_MATCH"

  Scenario: No such flag
    Given a Boolean-flag with key "error-flag" and a default value "false"
    When the flag was evaluated with details
    Then the resolved details value should be "false"
    And the reason should be "ERROR"
    And the error-code should be "FLAG_NOT_FOUND"
    And the error message should contain "flag error-flag not found"

  Scenario Outline: Another type than the flag's
    Given a <type>-flag with key "<key>" and a default value "<default>"
    When the flag was evaluated with details
    Then the resolved details value should be "<default>"
    And the error-code should be "TYPE_MISMATCH"

    Examples:
      | type    | key          | default |
      | Boolean | string-flag  | false   |
      | String  | boolean-flag | bye     |
      | Integer | boolean-flag | 1       |
      | Float   | boolean-flag | 0.1     |
      | Object  | string-flag  | {}      |

  Scenario: A flag's metadata
    Given a Boolean-flag with key "metadata-flag" and a default value "true"
    When the flag was evaluated with details
    Then the resolved metadata should contain
      | key     | metadata_type | value |
      | string  | String        | 1.0.2 |
      | integer | Integer       | 2     |
      | float   | Float         | 0.1   |
      | boolean | Boolean       | true  |

  Scenario: Neither question nor answer is anybody else's
    Given a Boolean-flag with key "boolean-flag" and a default value "false"
    And an evaluation context with modifiable data
    When the flag was evaluated with details
    Then the original evaluation context should remain unmodified
    And the evaluation details should be immutable

  Scenario: Awaited
    Given a Boolean-flag with key "boolean-flag" and a default value "false"
    When the flag was evaluated with details asynchronously
    Then the evaluation should complete without blocking
    And the result should be equivalent to synchronous evaluation

  Scenario: A flag without metadata
    Given a Boolean-flag with key "boolean-flag" and a default value "true"
    When the flag was evaluated with details
    Then the resolved metadata is empty

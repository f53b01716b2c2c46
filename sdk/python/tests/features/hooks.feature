Feature: Hooks around an answer

  Background:
    Given a stable provider

  Scenario Outline: They are told what came of it
    Given a client with added hook
    And a <type>-flag with key "<key>" and a default value "<default>"
    When the flag was evaluated with details
    Then the "before" hook should have been executed
    And the "<stage>" hook should have been executed
    And the "finally" hooks should be called with evaluation details
      | data_type | key        | value     |
      | string    | flag_key   | <key>     |
      | <type>    | value      | <value>   |
      | string    | variant    | <variant> |
      | string    | reason     | <reason>  |
      | string    | error_code | <code>    |

    Examples:
      | type    | key          | default | stage | value | variant | reason | code           |
      | boolean | boolean-flag | false   | after | true  | on      | STATIC | null           |
      | string  | missing-flag | uh-oh   | error | uh-oh | null    | ERROR  | FLAG_NOT_FOUND |
      | boolean | wrong-flag   | false   | error | false | null    | ERROR  | TYPE_MISMATCH  |

  Scenario: Those of one question
    Given a Boolean-flag with key "boolean-flag" and a default value "false"
    And evaluation options containing specific hooks
    When the flag was evaluated with details using the evaluation options
    Then the specified hooks should execute during evaluation
    And the hook order should be maintained

Feature: Contexts on their way to the provider

  Background:
    Given a stable provider with retrievable context is registered

  Scenario: Each level adds to what arrives
    Given A context entry with key "a" and value "1" is added to the "API" level
    And A context entry with key "b" and value "2" is added to the "Transaction" level
    And A context entry with key "c" and value "3" is added to the "Client" level
    And A context entry with key "d" and value "4" is added to the "Invocation" level
    And A context entry with key "e" and value "5" is added to the "Before Hooks" level
    When Some flag was evaluated
    Then The merged context contains an entry with key "a" and value "1"
    And The merged context contains an entry with key "b" and value "2"
    And The merged context contains an entry with key "c" and value "3"
    And The merged context contains an entry with key "d" and value "4"
    And The merged context contains an entry with key "e" and value "5"

  Scenario Outline: The nearest to the question wins
    Given A table with levels of increasing precedence
      | API          |
      | Transaction  |
      | Client       |
      | Invocation   |
      | Before Hooks |
    And Context entries for each level from API level down to the "<level>" level, with key "key" and value "<level>"
    When Some flag was evaluated
    Then The merged context contains an entry with key "key" and value "<level>"

    Examples:
      | level        |
      | API          |
      | Transaction  |
      | Client       |
      | Invocation   |
      | Before Hooks |
